import { expect, it } from "vitest";
import { FormatError } from "../errors.ts";
import { memorySource } from "../platform/memory.ts";
import { HeaderCursor } from "./header-cursor.ts";

async function textOf(bytes: Uint8Array): Promise<string> {
  const cursor = new HeaderCursor(memorySource("bytes", bytes));
  await cursor.fill(bytes.length, "text");
  return cursor.takeText(bytes.length, "text");
}

it("decodes every character, short and long, as it was encoded", async () => {
  const encoder = new TextEncoder();
  for (let code = 0; code <= 0x10ffff; code += code < 0x11000 ? 1 : 257) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const text = `a${String.fromCodePoint(code)}`;
    const cursor = new HeaderCursor(memorySource("bytes", encoder.encode(text)));
    await cursor.fill(2, "text");
    const got = cursor.takeText(cursor.buffered, "text");
    if (got !== text) expect.fail(`U+${code.toString(16)} became ${JSON.stringify(got)}`);
  }
  const long = "ä€🙂".repeat(100);
  expect(await textOf(encoder.encode(long))).toBe(long);
});

it.each([
  ["a lone continuation", [0x80]],
  ["a sequence cut short", [0xe2, 0x96]],
  ["an overlong slash of two bytes", [0xc0, 0xaf]],
  ["an overlong slash of three bytes", [0xe0, 0x80, 0xaf]],
  ["a surrogate", [0xed, 0xa0, 0x80]],
  ["a bad second byte of three", [0xe2, 0x20, 0x81]],
  ["a bad third byte of three", [0xe2, 0x96, 0x41]],
  ["a code point beyond Unicode", [0xf5, 0x80, 0x80, 0x80]],
])("refuses %s", async (_name, bytes) => {
  await expect(textOf(Uint8Array.from(bytes))).rejects.toThrow(FormatError);
});

it("takes a buffered string only as a whole", async () => {
  const bytes = new Uint8Array(11);
  bytes.set([3, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x62, 0x63]);
  const cursor = new HeaderCursor(memorySource("bytes", bytes));
  expect(cursor.takeBufferedString("text")).toBeUndefined();
  await cursor.fill(1, "text");
  expect(cursor.takeBufferedString("text")).toBe("abc");
  expect(cursor.remaining).toBe(0);
  bytes[0] = 4;
  const short = new HeaderCursor(memorySource("bytes", bytes));
  await short.fill(1, "text");
  expect([short.takeBufferedString("text"), short.offset]).toEqual([undefined, 0]);
});
