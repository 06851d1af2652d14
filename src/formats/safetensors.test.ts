import { describe, expect, it } from "vitest";
import { FormatError, UnsupportedError } from "../errors.ts";
import { finishedBytes, memorySink, memorySource } from "../platform/memory.ts";
import { formatByName } from "../quantization/registry.ts";
import { readSafetensorsHeader } from "./safetensors-reader.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { TensorTable } from "./tensor-layout.ts";
import { type TensorSource, tensorFromValues } from "./tensor-source.ts";
import { topLevelKeys } from "./top-level-keys.ts";

const f32 = formatByName("F32");

/** A file with the given header text and `data` bytes behind it. */
function file(header: string, data = 0, claimedBytes?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, claimedBytes ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

function read(bytes: Uint8Array) {
  return readSafetensorsHeader(memorySource("test.safetensors", bytes));
}

function entry(dtype: string, shape: unknown, begin: unknown, end: unknown): string {
  return JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
}

async function written(tensors: readonly TensorSource[], metadata = {}) {
  const sink = memorySink("written.safetensors");
  await writeSafetensors(sink, tensors, metadata);
  return finishedBytes(sink);
}

describe("write, then read", () => {
  it("keeps names, shapes, values and metadata, and aligns the data to 8 bytes", async () => {
    const bytes = await written(
      [
        tensorFromValues('we"ird', [2, 2], formatByName("BF16"), Float32Array.of(1, 2, 3, 4)),
        tensorFromValues("scalar", [], f32, Float32Array.of(5)),
        tensorFromValues("half", [3], formatByName("F16"), Float32Array.of(0.5, 1, 2)),
      ],
      { format: "pt" },
    );
    expect(new DataView(bytes.buffer).getUint32(0, true) % 8).toBe(0);
    const { tensors, metadata } = await read(bytes);
    expect(metadata).toEqual({ format: "pt" });
    expect(tensors.map(({ info }) => [info.name, info.shape, info.format.name, info.bytes])).toEqual([
      ['we"ird', [2, 2], "BF16", 8],
      ["scalar", [], "F32", 4],
      ["half", [3], "F16", 6],
    ]);
    const table = new TensorTable("test", tensors);
    const row = new Uint8Array(4);
    await table.readRows('we"ird', 1, 1, row);
    expect([...row]).toEqual([0x40, 0x40, 0x80, 0x40]);
    const scalar = new Float32Array(1);
    await table.readRows("scalar", 0, 1, new Uint8Array(scalar.buffer));
    expect(scalar[0]).toBe(5);
  });

  it("refuses what safetensors cannot hold", async () => {
    const quantized = tensorFromValues("q", [32], formatByName("Q8_0"), new Float32Array(32));
    await expect(written([quantized])).rejects.toThrow("safetensors can hold F32, F16, BF16");
    await expect(written([tensorFromValues("__metadata__", [1], f32, new Float32Array(1))])).rejects.toThrow(
      FormatError,
    );
  });
});

describe("reading", () => {
  it("accepts an empty file, empty tensors and trailing spaces", async () => {
    expect((await read(file("{}"))).tensors).toEqual([]);
    const { tensors } = await read(
      file(`{"a":${entry("F32", [0, 4], 0, 0)},"b":${entry("F32", [1], 0, 4)}}   `, 4),
    );
    expect(tensors.map(({ info }) => [info.name, info.bytes])).toEqual([
      ["a", 0],
      ["b", 4],
    ]);
  });

  it("lists other dtypes and refuses them when they are read", async () => {
    const { tensors } = await read(
      file(`{"ids":${entry("I64", [2], 0, 16)},"packed":${entry("F4", [4], 16, 18)}}`, 18),
    );
    expect(tensors.map(({ info }) => [info.name, info.format.name, info.bytes])).toEqual([
      ["ids", "I64", 16],
      ["packed", "F4", 2],
    ]);
    const table = new TensorTable("test", tensors);
    const refused = table.readRows("ids", 0, 1, new Uint8Array(16));
    await expect(refused).rejects.toThrow(UnsupportedError);
    await expect(refused).rejects.toThrow(
      'tensor "ids" is I64, expected F32, F16, BF16, I8 - convert the checkpoint',
    );
    expect(() => tensors[0].info.format.decode(new Uint8Array(16), new Float32Array(2))).toThrow(
      UnsupportedError,
    );
  });

  it("calls unknown dtypes unsupported, also those named like object members", async () => {
    for (const dtype of ["F128", "constructor", "__proto__"]) {
      await expect(read(file(`{"a":${entry(dtype, [1], 0, 1)}}`, 1))).rejects.toThrow(UnsupportedError);
    }
  });

  it.each<[string, Uint8Array, string]>([
    ["seven bytes", new Uint8Array(7), "has 7 bytes, expected at least 8"],
    [
      "a header of 2^64 - 1 bytes",
      file("{}", 0, 2n ** 64n - 1n),
      "claims a header of 18446744073709552000 bytes, expected at most 2",
    ],
    ["a header one byte too long", file("{}", 0, 3n), "claims a header of 3 bytes"],
    ["a header of zero bytes", file("", 0), 'does not start with "{"'],
    ["a header that starts with a space", file(" {}"), 'does not start with "{"'],
    ["broken JSON", file('{"a":'), "is not valid JSON"],
    ["broken UTF-8", Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d), "not valid UTF-8"],
    ["a hole at the start", file(`{"a":${entry("U8", [1], 1, 2)}}`, 2), "begins at byte 1, expected 0"],
    [
      "a hole between",
      file(`{"a":${entry("U8", [1], 0, 1)},"b":${entry("U8", [1], 2, 3)}}`, 3),
      'tensor "b" begins at byte 2, expected 1',
    ],
    [
      "an overlap",
      file(`{"a":${entry("U8", [2], 0, 2)},"b":${entry("U8", [2], 1, 3)}}`, 3),
      'tensor "b" begins at byte 1, expected 2',
    ],
    ["bytes behind the last tensor", file(`{"a":${entry("U8", [1], 0, 1)}}`, 2), "tensors end at byte"],
    ["missing data", file(`{"a":${entry("F32", [1], 0, 4)}}`, 3), "truncated or damaged"],
    [
      "offsets against the shape",
      file(`{"a":${entry("F32", [2], 0, 4)}}`, 4),
      "span 4 bytes, expected 8 for F32 [2]",
    ],
    ["offsets the wrong way round", file(`{"a":${entry("F32", [1], 4, 0)}}`, 4), "span -4 bytes"],
    ["a product beyond 2^53", file(`{"a":${entry("F32", [2 ** 30, 2 ** 30], 0, 4)}}`, 4), "overflows"],
    ["a negative dimension", file(`{"a":${entry("F32", [-1], 0, 4)}}`, 4), 'tensor "a": field "shape.0"'],
    ["a fractional offset", file(`{"a":${entry("F32", [1], 0, 4.5)}}`, 4), 'field "data_offsets.1"'],
    ["a shape that is no list", file(`{"a":${entry("F32", "1", 0, 4)}}`, 4), 'field "shape"'],
    ["an entry that is null", file('{"a":null}'), 'tensor "a": '],
    ["metadata that are not strings", file('{"__metadata__":{"a":1}}'), "__metadata__"],
    [
      "one name twice",
      file(`{"a":${entry("U8", [0], 0, 0)},"a":${entry("U8", [1], 0, 1)}}`, 1),
      'tensor "a" occurs twice',
    ],
    [
      "one name twice, once escaped",
      file(`{"a":${entry("U8", [1], 0, 1)},"\\u0061":${entry("U8", [1], 0, 1)}}`, 1),
      'tensor "a" occurs twice',
    ],
  ])("refuses %s", async (_name, bytes, message) => {
    const error = await read(bytes).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toContain(message);
  });
});

it("topLevelKeys sees only the outermost keys", () => {
  const json = '{"a\\"{":{"x":[{"y":1}]}, "b": "c:{,\\\\", "d" :[1,"e",{"f":2}] , "\\u0061": null}';
  JSON.parse(json);
  expect([...topLevelKeys(json)]).toEqual(['a"{', "b", "d", "a"]);
});
