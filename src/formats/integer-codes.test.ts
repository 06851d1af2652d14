/** Integer codes in safetensors, 4 bits by metadata; GGUF metadata copied into a folder and read back. */
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../errors.ts";
import { finishedBytes, memorySink, memorySource } from "../platform/memory.ts";
import { formatByName } from "../quantization/registry.ts";
import { openGgufFile } from "./gguf-file.ts";
import { typedMetadata } from "./gguf-metadata.ts";
import { writeGguf } from "./gguf-writer.ts";
import type { GgufValue } from "./model-file.ts";
import { readSafetensorsHeader } from "./safetensors-reader.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { TensorTable } from "./tensor-layout.ts";
import { tensorFromValues } from "./tensor-source.ts";

const [i8, i4] = [formatByName("I8"), formatByName("I4")];

async function written(metadata: Record<string, string> = {}): Promise<Uint8Array> {
  const sink = memorySink("codes.safetensors");
  const tensors = [
    tensorFromValues("wide", [2, 3], i8, Float32Array.of(-128, -1, 0, 1, 2, 127)),
    tensorFromValues("narrow", [2, 4], i4, Float32Array.of(-8, -7, -1, 0, 1, 2, 6, 7)),
  ];
  await writeSafetensors(sink, tensors, metadata);
  return finishedBytes(sink);
}

function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const text = Buffer.from(bytes).toString("latin1");
  expect(text).toContain(from);
  expect(to.length).toBe(from.length);
  return new Uint8Array(Buffer.from(text.replace(from, to), "latin1"));
}

describe("codes", () => {
  test("8 and 4 bits come back with their logical shapes", async () => {
    const bytes = await written({ format: "pt" });
    expect(Buffer.from(bytes).toString("latin1")).toContain('"narrow":{"dtype":"U8","shape":[2,2]');
    const { tensors, metadata } = await readSafetensorsHeader(memorySource("codes", bytes));
    expect(metadata.format).toBe("pt");
    const table = new TensorTable("codes", tensors);
    expect(table.infos.get("narrow")).toEqual({ name: "narrow", shape: [2, 4], format: i4, bytes: 4 });
    const row = new Uint8Array(2);
    await table.readRows("narrow", 1, 1, row);
    const values = new Float32Array(4);
    i4.decode(row, values);
    expect([...values]).toEqual([1, 2, 6, 7]);
    const wide = new Uint8Array(3);
    await table.readRows("wide", 0, 1, wide);
    const wideValues = new Float32Array(3);
    i8.decode(wide, wideValues);
    expect([...wideValues]).toEqual([-128, -1, 0]);
  });

  test("metadata that lies about 4-bit tensors is refused", async () => {
    const read = (bytes: Uint8Array) => readSafetensorsHeader(memorySource("codes", bytes));
    const bytes = await written();
    const list = String.raw`"[\"narrow\"]"`;
    await expect(read(replaced(bytes, list, String.raw`"[\"nerrow\"]"`))).rejects.toThrow(
      /names "nerrow", which is not in/,
    );
    await expect(read(replaced(bytes, list, String.raw`"[\"wide\"]  "`))).rejects.toThrow(
      /is I8, expected U8/,
    );
    await expect(read(replaced(bytes, list, String.raw`"{\"narrow\"]"`))).rejects.toThrow(FormatError);
  });
});

describe("GGUF metadata", () => {
  test("every value comes back equal", async () => {
    const metadata = new Map<string, GgufValue>([
      ["general.architecture", "llama"],
      ["general.alignment", 32],
      ["text", "ä\n"],
      ["small", 7],
      ["negative", -7],
      ["large", 2 ** 40],
      ["huge", 2n ** 63n],
      ["half", 0.5],
      ["third", 1 / 3],
      ["yes", true],
      ["strings", ["a", ""]],
      ["scores", [-1, 0.25, 3]],
      ["ids", [1, 2, 3]],
      ["none", []],
    ]);
    const sink = memorySink("metadata.gguf");
    await writeGguf(sink, typedMetadata(metadata), []);
    const file = await openGgufFile(memorySource("metadata.gguf", finishedBytes(sink)));
    metadata.delete("general.alignment");
    expect(new Map(file.metadata)).toEqual(metadata);
    expect(() => typedMetadata(new Map([["nested", [[1]]]]))).toThrow(UnsupportedError);
  });
});
