/**
 * Decoders against gguf-py 0.19 (numpy, the format authors' own): pseudo-random blocks, the FNV-1a hash of
 * all decoded f32 bytes and four of the values. Encoders against hand-worked blocks. No file is needed.
 */
import { describe, expect, it } from "vitest";
import { UnsupportedError } from "../errors.ts";
import { formatByGgmlType, formatByName, formatNames, weightFormats } from "./registry.ts";
import { bitsPerWeight, formatBytes } from "./weight-format.ts";

/**
 * `halves`: offsets of f16 fields, kept finite; `values`: weights 0, 1,
 * blockSize / 2 + 5 and the last of 4 blocks.
 */
const DECODED = [
  {
    name: "Q8_0",
    halves: [0],
    hash: 0xf025e562,
    values: [-0.16632080078125, 0.08544921875, 0.1007080078125, -3.604278564453125],
  },
  { name: "Q4_0", halves: [0], hash: 0xcab0790e, values: [-0.00762939453125, 0, -0.01068115234375, 0] },
  {
    name: "Q4_1",
    halves: [0, 2],
    hash: 0x1711fff6,
    values: [0.57177734375, 0.5809326171875, 0.59466552734375, -0.7602910995483398],
  },
  {
    name: "Q5_0",
    halves: [0],
    hash: 0x823a3576,
    values: [0.0030517578125, 0.0213623046875, 0.01068115234375, 0.8505859375],
  },
  {
    name: "Q5_1",
    halves: [0, 2],
    hash: 0x675881d7,
    values: [0.59466552734375, 0.5931396484375, 0.61602783203125, 44.143310546875],
  },
  {
    name: "Q2_K",
    halves: [80, 82],
    hash: 0xf7dfc6dd,
    values: [0.00653839111328125, 0.00653839111328125, -0.011044025421142578, -0.011250972747802734],
  },
  {
    name: "Q3_K",
    halves: [108],
    hash: 0x1578565c,
    values: [-0.0020766258239746094, -0.0020766258239746094, -0.0032187700271606445, 0],
  },
  {
    name: "Q4_K",
    halves: [0, 2],
    hash: 0xe508eefc,
    values: [-17.57861328125, -17.57861328125, -32.949462890625, 7.069610595703125],
  },
  {
    name: "Q5_K",
    halves: [0, 2],
    hash: 0xb2186f99,
    values: [-16.30908203125, -16.79736328125, -32.85791015625, 8.4093017578125],
  },
  {
    name: "Q6_K",
    halves: [208],
    hash: 0xe59e902b,
    values: [-0.12451457977294922, 0.04669296741485596, -0.29379844665527344, -1.9993305206298828],
  },
  {
    name: "IQ4_NL",
    halves: [0],
    hash: 0x046780cd,
    values: [-0.09918212890625, 0.00152587890625, -0.15869140625, -0.01236724853515625],
  },
  {
    name: "IQ4_XS",
    halves: [0],
    hash: 0xa47145dc,
    values: [2.7587890625, 2.1728515625, 1.6021728515625, -3.559598922729492],
  },
  {
    name: "TQ1_0",
    halves: [52],
    hash: 0x85eeb158,
    values: [-0.00010704994201660156, -0.00010704994201660156, 0.00010704994201660156, 0],
  },
  {
    name: "TQ2_0",
    halves: [64],
    hash: 0x2ce85657,
    values: [0.05548095703125, -0.05548095703125, -0.05548095703125, 0.12176513671875],
  },
];

function pseudoRandomBytes(count: number): Uint8Array {
  let state = 42;
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

function fnv1a(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
}

describe("decoding", () => {
  it.each(DECODED)("$name equals gguf-py", ({ name, halves, hash, values }) => {
    const format = formatByName(name);
    const bytes = pseudoRandomBytes(4 * format.blockBytes);
    for (let block = 0; block < 4; block++) {
      for (const half of halves) bytes[block * format.blockBytes + half + 1] &= 0xbf;
    }
    const decoded = new Float32Array(4 * format.blockSize);
    format.decode(bytes, decoded);
    // Adding zero makes negative zeros positive, as in the oracle's run.
    const positive = decoded.map((value) => value + 0);
    const probes = [0, 1, format.blockSize / 2 + 5, 4 * format.blockSize - 1];
    expect(probes.map((i) => positive[i])).toEqual(values);
    expect(fnv1a(new Uint8Array(positive.buffer))).toBe(hash);
  });

  it("covers every quantized format", () => {
    expect(DECODED.map(({ name }) => name).sort()).toEqual(
      weightFormats
        .filter(({ blockSize }) => blockSize > 1)
        .map(({ name }) => name)
        .sort(),
    );
  });
});

describe("encoding", () => {
  /** 0, 1, ... 31 shifted so that the extreme is -32 at the front. */
  const ramp = Float32Array.from({ length: 32 }, (_, i) => i - 32);

  function encoded(name: string, values: Float32Array): number[] {
    const format = formatByName(name);
    const bytes = new Uint8Array(formatBytes(format, values.length));
    format.encode?.(values, bytes);
    return [...bytes];
  }

  it("Q4_0 puts the extreme at code 0 with a positive scale for a negative extreme", () => {
    const bytes = encoded("Q4_0", ramp);
    expect(bytes.slice(0, 2)).toEqual([0x00, 0x44]); // d = 4
    // -32/4 + 8.5 = 0.5 -> 0; -16/4 + 8.5 = 4.5 -> 4; -31/4 + 8.5 = 0.75 -> 0; -15/4 + 8.5 = 4.75 -> 4
    expect(bytes.slice(2, 5)).toEqual([0x40, 0x40, 0x51]);
  });

  it("Q8_0 rounds halves away from zero", () => {
    const values = new Float32Array(32);
    values.set([127, 0.5, -0.5, 1.5, -1.5, -126.5]);
    expect(encoded("Q8_0", values).slice(0, 8)).toEqual([0x00, 0x3c, 127, 1, 255, 2, 254, 129]);
  });

  it("Q4_1 and Q5_1 store the minimum and span the range", () => {
    const values = Float32Array.from({ length: 32 }, (_, i) => 2 + i);
    expect(encoded("Q5_1", values).slice(0, 9)).toEqual([
      0x00, 0x3c, 0x00, 0x40, 0x00, 0x00, 0xff, 0xff, 0x00,
    ]);
    expect(encoded("Q4_1", values).slice(2, 5)).toEqual([0x00, 0x40, 0x80]);
  });

  it("Q5_0 keeps the fifth bits apart", () => {
    const bytes = encoded("Q5_0", ramp);
    expect(bytes.slice(0, 2)).toEqual([0x00, 0x40]); // d = 2
    // q = trunc((i - 32) / 2 + 16.5): at most 15 for the ramp but for its last weight, which rounds up to 16
    expect(bytes.slice(2, 6)).toEqual([0, 0, 0, 0x80]);
    expect(bytes[6]).toBe(0x80);
  });

  it.each(["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])(
    "%s encodes zeros to a block that decodes to zeros",
    (name) => {
      const format = formatByName(name);
      const decoded = new Float32Array(64).fill(1);
      format.decode(Uint8Array.from(encoded(name, new Float32Array(64))), decoded);
      expect(decoded.every((value) => value === 0)).toBe(true);
    },
  );

  it("F32 survives unaligned bytes", () => {
    const bytes = new Uint8Array(13).subarray(1);
    formatByName("F32").encode?.(Float32Array.of(1.5, -0, 1e-45), bytes);
    const back = new Float32Array(3);
    formatByName("F32").decode(bytes, back);
    expect(Object.is(back[1], -0) && back[0] === 1.5 && back[2] === Math.fround(1e-45)).toBe(true);
  });
});

describe("registry", () => {
  it("finds formats by name in any case and by ggml type", () => {
    expect(formatByName("q4_k")).toBe(formatByGgmlType(12, "t"));
    expect(new Set(weightFormats.map(({ ggmlType }) => ggmlType)).size).toBe(weightFormats.length);
  });

  it("names what it does not know and what it does", () => {
    expect(() => formatByName("Q9_9")).toThrow(UnsupportedError);
    expect(() => formatByGgmlType(16, 'tensor "x"')).toThrow(
      `tensor "x": tensor type 16 (IQ2_XXS) is not supported, expected one of ${formatNames().join(", ")}`,
    );
    expect(() => formatByGgmlType(43, 'tensor "x"')).toThrow("tensor type 43 (unknown)");
  });

  it("counts bits per weight as ggml does", () => {
    expect(Object.fromEntries(weightFormats.map((format) => [format.name, bitsPerWeight(format)]))).toEqual({
      F32: 32,
      F16: 16,
      BF16: 16,
      Q8_0: 8.5,
      Q4_0: 4.5,
      Q4_1: 5,
      Q5_0: 5.5,
      Q5_1: 6,
      Q2_K: 2.625,
      Q3_K: 3.4375,
      Q4_K: 4.5,
      Q5_K: 5.5,
      Q6_K: 6.5625,
      IQ4_NL: 4.5,
      IQ4_XS: 4.25,
      TQ1_0: 1.6875,
      TQ2_0: 2.0625,
    });
  });
});
