import { describe, expect, it } from "vitest";
import { FormatError, UnsupportedError } from "../errors.ts";
import { finishedBytes, memorySink, memorySource } from "../platform/memory.ts";
import { formatByName } from "../quantization/registry.ts";
import { ByteBuilder } from "./byte-builder.ts";
import { openGgufFile } from "./gguf-file.ts";
import { readGgufHeader } from "./gguf-reader.ts";
import {
  arrayField,
  boolField,
  float32Field,
  type GgufField,
  stringField,
  uint32Field,
} from "./gguf-values.ts";
import { writeGguf } from "./gguf-writer.ts";
import { type TensorSource, tensorFromValues } from "./tensor-source.ts";

const f32 = formatByName("F32");

async function written(metadata: Iterable<[string, GgufField]>, tensors: readonly TensorSource[] = []) {
  const sink = memorySink("written.gguf");
  await writeGguf(sink, new Map([["general.architecture", stringField("llama")], ...metadata]), tensors);
  return finishedBytes(sink);
}

function open(bytes: Uint8Array) {
  return openGgufFile(memorySource("test.gguf", bytes));
}

/** A GGUF header with one tensor entry, field by field, so that any of them can lie. */
function oneTensor(
  fields: { dims?: (number | bigint)[]; type?: number; offset?: number | bigint; data?: number } = {},
) {
  const { dims = [2, 2], type = 0, offset = 0, data = 16 } = fields;
  const out = new ByteBuilder();
  out.putUint32(0x46554747);
  out.putUint32(3);
  out.putUint64(1);
  out.putUint64(0);
  out.putString("t");
  out.putUint32(dims.length);
  for (const dimension of dims) out.putUint64(dimension);
  out.putUint32(type);
  out.putUint64(offset);
  out.align(32);
  out.putBytes(new Uint8Array(data));
  return memorySource("one.gguf", out.bytes().slice());
}

/** A header that ends after the given metadata bytes. */
function oneEntry(put: (out: ByteBuilder) => void, entries = 1) {
  const out = new ByteBuilder();
  out.putUint32(0x46554747);
  out.putUint32(3);
  out.putUint64(0);
  out.putUint64(entries);
  put(out);
  return memorySource("entry.gguf", out.bytes().slice());
}

describe("write, then read", () => {
  it("keeps every type of metadata", async () => {
    const fields: [string, GgufField, unknown][] = [
      ["u8", { type: "uint8", value: 200 }, 200],
      ["i8", { type: "int8", value: -100 }, -100],
      ["u16", { type: "uint16", value: 65535 }, 65535],
      ["i16", { type: "int16", value: -32768 }, -32768],
      ["u32", uint32Field(4294967295), 4294967295],
      ["i32", { type: "int32", value: -2147483648 }, -2147483648],
      ["f32", float32Field(0.1), Math.fround(0.1)],
      ["f64", { type: "float64", value: 0.1 }, 0.1],
      ["bool", boolField(true), true],
      ["u64", { type: "uint64", value: 2 ** 53 - 1 }, 2 ** 53 - 1],
      ["u64 large", { type: "uint64", value: 2n ** 64n - 1n }, 2n ** 64n - 1n],
      ["i64", { type: "int64", value: -5 }, -5],
      ["string", stringField("\uFEFFgrüße 🙂\0"), "\uFEFFgrüße 🙂\0"],
      [
        "strings",
        arrayField("string", ["", "a", "ä", "\uFEFF", "x".repeat(30)]),
        ["", "a", "ä", "\uFEFF", "x".repeat(30)],
      ],
      ["floats", arrayField("float32", [1, -2.5]), [1, -2.5]],
      ["bools", arrayField("bool", [true, false]), [true, false]],
      ["empty", arrayField("int32", []), []],
    ];
    const model = await open(await written(fields.map(([key, field]) => [key, field])));
    expect(model.architecture).toBe("llama");
    for (const [key, , value] of fields) expect(model.metadata.get(key), key).toEqual(value);
    expect(model.metadata.size).toBe(fields.length + 1);
  });

  it("keeps tensors, their order of dimensions and their rows", async () => {
    const values = Float32Array.from({ length: 24 }, (_, i) => i);
    const model = await open(
      await written(
        [],
        [
          tensorFromValues("three", [2, 3, 4], f32, values),
          tensorFromValues("q", [2, 32], formatByName("Q8_0"), new Float32Array(64).fill(127)),
          tensorFromValues("v", [5], formatByName("F16"), values.subarray(0, 5)),
        ],
      ),
    );
    expect(
      [...model.tensors.values()].map(({ name, shape, format, bytes }) => [name, shape, format.name, bytes]),
    ).toEqual([
      ["three", [2, 3, 4], "F32", 96],
      ["q", [2, 32], "Q8_0", 68],
      ["v", [5], "F16", 10],
    ]);
    expect(model.tensorBytes).toBe(174);
    const rows = new Float32Array(8);
    await model.readRows("three", 4, 2, new Uint8Array(rows.buffer));
    expect([...rows]).toEqual([16, 17, 18, 19, 20, 21, 22, 23]);
    const block = new Uint8Array(34);
    await model.readRows("q", 1, 1, block);
    expect([...block.subarray(0, 3)]).toEqual([0x00, 0x3c, 127]);
  });

  it("reads strings and arrays that cross the window of the cursor", async () => {
    const words = Array.from({ length: 300_000 }, (_, i) => `token-${i}-${"é".repeat(i % 7)}`);
    const long = "0123456789".repeat(300_000);
    const model = await open(
      await written([
        ["tokens", arrayField("string", words)],
        ["long", stringField(long)],
        [
          "scores",
          arrayField(
            "float32",
            words.map((_, i) => -i),
          ),
        ],
      ]),
    );
    expect(model.metadata.get("tokens")).toEqual(words);
    expect(model.metadata.get("long")).toBe(long);
    expect((model.metadata.get("scores") as number[])[299_999]).toBe(-299_999);
  });

  it("reads version 2 and foreign alignments", async () => {
    const out = new ByteBuilder();
    out.putUint32(0x46554747);
    out.putUint32(2);
    out.putUint64(1);
    out.putUint64(1);
    out.putString("general.alignment");
    out.putUint32(4);
    out.putUint32(256);
    out.putString("t");
    out.putUint32(1);
    out.putUint64(1);
    out.putUint32(0);
    out.putUint64(0);
    out.align(256);
    out.putFloat32(7);
    const header = await readGgufHeader(memorySource("aligned.gguf", out.bytes().slice()));
    expect([header.version, header.alignment, header.dataOffset, header.tensors[0].offset]).toEqual([
      2, 256, 256, 256,
    ]);
  });
});

describe("writing", () => {
  it.each<[string, GgufField]>([
    ["uint8", { type: "uint8", value: 256 }],
    ["uint32", uint32Field(-1)],
    ["uint32 fraction", uint32Field(1.5)],
    ["int64", { type: "int64", value: 2n ** 63n }],
    ["bool", { type: "bool", value: 1 }],
    ["string", { type: "string", value: 1 }],
  ])("refuses a value that is not %s", async (_name, field) => {
    await expect(written([["key", field]])).rejects.toThrow(FormatError);
  });

  it("leaves nothing behind when a source delivers too little or too much", async () => {
    for (const length of [15, 17]) {
      const sink = memorySink("short.gguf");
      const tensor = { name: "t", shape: [4], format: f32, data: () => [new Uint8Array(length)] };
      await expect(writeGguf(sink, new Map(), [tensor])).rejects.toThrow('data of tensor "t" has');
      expect(sink.bytes()).toBeUndefined();
    }
  });

  it("refuses repeated names, rows of broken blocks and formats it cannot encode", async () => {
    const tensor = tensorFromValues("t", [1], f32, new Float32Array(1));
    await expect(written([], [tensor, tensor])).rejects.toThrow("written twice");
    const broken = tensorFromValues("t", [2, 33], formatByName("Q4_0"), new Float32Array(66));
    await expect(written([], [broken])).rejects.toThrow("expected a multiple of 32");
    const unwritable = tensorFromValues("t", [256], formatByName("Q4_K"), new Float32Array(256));
    await expect(written([], [unwritable])).rejects.toThrow(UnsupportedError);
  });
});

describe("damaged files", () => {
  it("accepts the file the lies below are told about", async () => {
    const { tensors } = await readGgufHeader(oneTensor());
    expect(tensors[0].info).toEqual({ name: "t", shape: [2, 2], format: f32, bytes: 16 });
  });

  it.each<[string, Parameters<typeof oneTensor>[0], string]>([
    ["no dimensions", { dims: [] }, "has 0 dimensions, expected 1 to 4"],
    ["five dimensions", { dims: [1, 1, 1, 1, 4] }, "has 5 dimensions"],
    ["a zero dimension", { dims: [4, 0] }, "has dimensions [4, 0], expected positive"],
    ["a product beyond 2^53", { dims: [2 ** 30, 2 ** 30] }, "overflows"],
    ["a dimension of 2^64 - 1", { dims: [2n ** 64n - 1n] }, "expected positive ones"],
    [
      "a row of broken blocks",
      { dims: [33], type: 2 },
      "a row of 33 weights cannot be Q4_0, expected a multiple of 32",
    ],
    ["an unaligned offset", { offset: 1 }, "offset 1, expected a multiple of 32"],
    ["an offset of 2^64 - 32", { offset: 2n ** 64n - 32n }, "offset"],
    ["an offset behind the file", { offset: 64 }, "ends at byte 176, expected at most 112"],
    ["missing data", { data: 15 }, "expected at most 111 (the file size)"],
  ])("%s", async (_name, fields, message) => {
    const error = await readGgufHeader(oneTensor(fields)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toContain(message);
  });

  it("unknown tensor types are unsupported, not damaged", async () => {
    await expect(readGgufHeader(oneTensor({ type: 43 }))).rejects.toThrow(UnsupportedError);
  });

  it.each<[string, (out: ByteBuilder) => void, number, string]>([
    ["too many entries", () => {}, 2 ** 40, "claims 1099511627776 metadata entries, expected at most 0"],
    [
      "a huge key",
      (out) => {
        out.putUint64(2n ** 63n);
        out.putBytes(new Uint8Array(64));
      },
      1,
      "expected at most 65535",
    ],
    [
      "a key cut short",
      (out) => {
        out.putUint64(60);
        out.putBytes(new Uint8Array(16));
      },
      1,
      "truncated in a metadata key",
    ],
    [
      "an unknown value type",
      (out) => {
        out.putString("k");
        out.putUint32(13);
        out.putUint64(0);
      },
      1,
      "value type 13, expected 0 to 12",
    ],
    [
      "a boolean of 2",
      (out) => {
        out.putString("key");
        out.putUint32(7);
        out.putUint8(2);
      },
      1,
      "boolean 2",
    ],
    [
      "broken UTF-8",
      (out) => {
        out.putUint64(2);
        out.putBytes(Uint8Array.of(0xc3, 0x28));
        out.putUint64(0);
      },
      1,
      "not valid UTF-8",
    ],
    [
      "an array longer than the file",
      (out) => {
        out.putString("k");
        out.putUint32(9);
        out.putUint32(5);
        out.putUint64(2 ** 31);
      },
      1,
      'claims 2147483648 elements in metadata "k", expected at most 0',
    ],
    [
      "bottomless arrays",
      (out) => {
        out.putString("k");
        out.putUint32(9);
        for (let i = 0; i < 9; i++) {
          out.putUint32(9);
          out.putUint64(1);
        }
      },
      1,
      "nested deeper than 4",
    ],
    [
      "the same key twice",
      (out) => {
        for (let i = 0; i < 2; i++) {
          out.putString("k");
          out.putUint32(4);
          out.putUint32(1);
        }
      },
      2,
      'key "k" occurs twice',
    ],
    [
      "an odd alignment",
      (out) => {
        out.putString("general.alignment");
        out.putUint32(4);
        out.putUint32(24);
      },
      1,
      "general.alignment is 24, expected a power of two",
    ],
    [
      "an alignment of zero",
      (out) => {
        out.putString("general.alignment");
        out.putUint32(4);
        out.putUint32(0);
      },
      1,
      "general.alignment is 0",
    ],
  ])("%s", async (_name, put, entries, message) => {
    const error = await readGgufHeader(oneEntry(put, entries)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toContain(message);
  });

  it("overlapping tensors and repeated names", async () => {
    const bytes = await written(
      [],
      [
        tensorFromValues("a", [8], f32, new Float32Array(8)),
        tensorFromValues("b", [8], f32, new Float32Array(8)),
      ],
    );
    const text = new TextDecoder("latin1").decode(bytes);
    const nameB = text.lastIndexOf("b");
    const overlapping = bytes.slice();
    overlapping[nameB + 1 + 4 + 8 + 4] = 0; // offset of b
    await expect(open(overlapping)).rejects.toThrow('overlaps tensor "a"');
    const repeated = bytes.slice();
    repeated[nameB] = 0x61;
    await expect(open(repeated)).rejects.toThrow('tensor "a" occurs twice');
  });

  it("every truncation of a valid file fails with a FormatError", async () => {
    const bytes = await written(
      [
        ["tokens", arrayField("string", ["a", "b"])],
        ["n", uint32Field(3)],
      ],
      [tensorFromValues("a", [8], f32, new Float32Array(8))],
    );
    for (let length = 0; length < bytes.length; length++) {
      await expect(open(bytes.subarray(0, length)), `length ${length}`).rejects.toThrow(FormatError);
    }
  });

  it("versions 1 and 4, big-endian files and files without an architecture", async () => {
    for (const [version, message] of [
      [1, "version 1"],
      [4, "version 4"],
      [0x03000000, "big-endian"],
    ] as const) {
      const out = new ByteBuilder();
      out.putUint32(0x46554747);
      out.putUint32(version);
      out.putBytes(new Uint8Array(16));
      const error = await readGgufHeader(memorySource("v.gguf", out.bytes())).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(UnsupportedError);
      expect((error as Error).message).toContain(message);
    }
    await expect(openGgufFile(oneTensor())).rejects.toThrow("general.architecture is missing");
  });

  it("rows outside a tensor and targets of the wrong length", async () => {
    const model = await open(await written([], [tensorFromValues("a", [2, 4], f32, new Float32Array(8))]));
    await expect(model.readRows("a", 1, 2, new Uint8Array(32))).rejects.toThrow("has no rows 1 to 2");
    await expect(model.readRows("a", 0, 1, new Uint8Array(15))).rejects.toThrow(
      "need a target of 16 bytes, got 15",
    );
    await expect(model.readRows("b", 0, 1, new Uint8Array(16))).rejects.toThrow('there is no tensor "b"');
  });
});
