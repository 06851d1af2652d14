/**
 * Ten thousand damaged files: valid headers with bits flipped, fields set to extremes, spans cut, doubled or
 * swapped. Whatever is done to a file, opening and reading it either works or fails with a SkimError, quickly,
 * and without asking for more bytes than the file has. Deterministic: a failing case prints its number.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SkimError } from "../../src/errors.ts";
import {
  arrayField,
  boolField,
  float32Field,
  type GgufField,
  stringField,
  uint32Field,
} from "../../src/formats/gguf-values.ts";
import { writeGguf } from "../../src/formats/gguf-writer.ts";
import { openModelFile } from "../../src/formats/open-model-file.ts";
import { writeSafetensors } from "../../src/formats/safetensors-writer.ts";
import { tensorFromValues } from "../../src/formats/tensor-source.ts";
import { finishedBytes, memoryFolder, memorySink, memorySource } from "../../src/platform/memory.ts";
import type { ByteSource, Platform } from "../../src/platform/types.ts";
import { formatByName } from "../../src/quantization/registry.ts";
import { dataPath, describeWithData } from "../shared-data.ts";

/** Bytes a reader may ask for in total: each byte about once, and a second time for signatures and rows. */
const READ_FACTOR = 3;
const SLOWEST_CASE_MS = 2000;

/** mulberry32: a tiny generator with a 32-bit state. */
function randomSource(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const EXTREMES = [
  0n,
  1n,
  31n,
  0x7fn,
  0xffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 40n,
  (1n << 53n) - 1n,
  1n << 62n,
  1n << 63n,
  (1n << 64n) - 1n,
];

/** One to four injuries within the first `reach` bytes. */
function mutate(original: Uint8Array, reach: number, random: (below: number) => number): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let injuries = 1 + random(4); injuries > 0 && bytes.length > 16; injuries--) {
    const limit = Math.min(reach, bytes.length);
    const at = random(limit - 8);
    switch (random(6)) {
      case 0:
        bytes[at] ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        new DataView(bytes.buffer).setBigUint64(at, EXTREMES[random(EXTREMES.length)], true);
        break;
      case 3:
        new DataView(bytes.buffer).setUint32(
          at,
          Number(EXTREMES[random(EXTREMES.length)] & 0xffffffffn),
          true,
        );
        break;
      case 4:
        bytes = bytes.slice(0, random(4) === 0 ? random(bytes.length) : at);
        break;
      case 5: {
        // Cut a span out, or repeat it.
        const end = Math.min(bytes.length, at + 1 + random(32));
        const tail = bytes.slice(random(2) === 0 ? end : at);
        const joined = new Uint8Array(end + tail.length);
        joined.set(bytes.subarray(0, end));
        joined.set(tail, random(2) === 0 ? at : end);
        bytes = joined;
        break;
      }
    }
  }
  return bytes;
}

/** Counts what is read; a request beyond the file is a bug of the reader, not of the file. */
function meter(source: ByteSource, total: { bytes: number }): ByteSource {
  return {
    ...source,
    async readInto(offset, target) {
      if (offset + target.length > source.size)
        throw new Error(`asked for ${target.length} bytes at ${offset} of ${source.size}`);
      total.bytes += target.length;
      await source.readInto(offset, target);
    },
  };
}

/** Opens a damaged model and reads a row of every tensor; returns whether that worked. */
async function exercise(files: ReadonlyMap<string, Uint8Array>): Promise<boolean> {
  const total = { bytes: 0 };
  const folder = memoryFolder("fuzz", files);
  const [first] = files.values();
  const opened =
    files.size === 1
      ? { file: meter(memorySource("fuzz.gguf", first), total) }
      : { folder: { ...folder, open: async (name: string) => meter(await folder.open(name), total) } };
  const size = [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  const started = performance.now();
  let worked = true;
  try {
    const model = await openModelFile({ open: async () => opened } as unknown as Platform, "fuzz");
    for (const { name, shape, bytes } of model.tensors.values()) {
      if (shape.includes(0)) continue;
      const rows = shape.slice(0, -1).reduce((product, dimension) => product * dimension, 1);
      await model.readRows(name, rows - 1, 1, new Uint8Array(bytes / rows));
    }
    if (model.container === "huggingface") await model.readTokenizer();
    await model.close();
  } catch (error) {
    if (!(error instanceof SkimError) || /\p{Cc}/u.test(error.message)) throw error;
    worked = false;
  }
  expect(performance.now() - started).toBeLessThan(SLOWEST_CASE_MS);
  expect(total.bytes).toBeLessThanOrEqual(READ_FACTOR * size + 64);
  return worked;
}

/** Runs `cases` mutations; most must fail, or the mutations do not reach what matters. */
async function fuzz(
  cases: number,
  seed: number,
  files: ReadonlyMap<string, Uint8Array>,
  reach: number,
): Promise<void> {
  expect(await exercise(files)).toBe(true);
  let failed = 0;
  for (let number = 0; number < cases; number++) {
    const random = randomSource(seed + number);
    const names = [...files.keys()];
    const victim = names[random(names.length)];
    const damaged = new Map(files);
    damaged.set(victim, mutate(files.get(victim) as Uint8Array, reach, random));
    try {
      if (!(await exercise(damaged))) failed++;
    } catch (error) {
      throw new Error(`case ${number} of seed ${seed} (${victim}): ${String(error)}`, { cause: error });
    }
  }
  expect(failed).toBeGreaterThan(cases / 4);
  expect(failed).toBeLessThan(cases);
}

async function ggufFile(): Promise<Uint8Array> {
  const metadata = new Map<string, GgufField>([
    ["general.architecture", stringField("llama")],
    ["llama.block_count", uint32Field(2)],
    ["llama.rope.freq_base", float32Field(10000)],
    ["tokenizer.ggml.add_bos_token", boolField(true)],
    ["tokenizer.ggml.tokens", arrayField("string", ["<s>", "</s>", "ä", "hello"])],
    ["tokenizer.ggml.scores", arrayField("float32", [0, 0, -1, -2])],
    ["tokenizer.ggml.token_type", arrayField("int32", [3, 3, 1, 1])],
    ["general.size", { type: "uint64", value: 12345678 }],
  ]);
  const sink = memorySink("fuzz.gguf");
  const values = Float32Array.from({ length: 128 }, (_, i) => i - 64);
  await writeGguf(sink, metadata, [
    tensorFromValues("token_embd.weight", [4, 32], formatByName("Q8_0"), values),
    tensorFromValues("blk.0.attn_norm.weight", [32], formatByName("F32"), values.subarray(0, 32)),
    tensorFromValues("blk.0.cube", [2, 2, 32], formatByName("Q4_0"), values),
  ]);
  return finishedBytes(sink);
}

async function folderFiles(): Promise<Map<string, Uint8Array>> {
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const files = new Map([
    ["config.json", encode({ model_type: "llama", rope_scaling: { factor: 8 } })],
    ["tokenizer.json", encode({ version: "1.0", model: { type: "BPE", vocab: { a: 0 } } })],
  ]);
  const weightMap: Record<string, string> = {};
  for (const part of ["1", "2"]) {
    const sink = memorySink(part);
    const values = Float32Array.from({ length: 12 }, (_, i) => i);
    await writeSafetensors(sink, [
      tensorFromValues(`layers.${part}.weight`, [3, 4], formatByName("F32"), values),
      tensorFromValues(`layers.${part}.bias`, [4], formatByName("BF16"), values.subarray(0, 4)),
    ]);
    files.set(`model-${part}.safetensors`, finishedBytes(sink));
    weightMap[`layers.${part}.weight`] = `model-${part}.safetensors`;
    weightMap[`layers.${part}.bias`] = `model-${part}.safetensors`;
  }
  files.set("model.safetensors.index.json", encode({ weight_map: weightMap }));
  return files;
}

describe("damaged files", () => {
  it("6,000 GGUF files", async () => {
    const file = await ggufFile();
    await fuzz(6000, 1000, new Map([["fuzz.gguf", file]]), 700);
  });

  it("4,000 Hugging Face folders", async () => {
    await fuzz(4000, 200_000, await folderFiles(), 400);
  });
});

describeWithData("damaged real files", () => {
  it.each([
    ["models/stories260K/stories260K.gguf", 16_000, 200],
    ["quantized/stories260K-q4_0.gguf", 16_000, 150],
    ["tokenizers/gguf-vocab/ggml-vocab-bert-bge.gguf", 600_000, 50],
  ] as const)("%s", async (name, reach, cases) => {
    await fuzz(
      cases,
      9_000_000,
      new Map([["real.gguf", new Uint8Array(readFileSync(dataPath(name)))]]),
      reach,
    );
  });
});
