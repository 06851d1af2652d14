/**
 * Blocks that ggml wrote and decoded: every decoder must reproduce ggml's values bit for bit, and every encoder
 * skim has for these types must reproduce ggml's bytes from the same input.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { formatByName } from "../../src/quantization/registry.ts";
import { dataPath, describeWithData } from "../shared-data.ts";

const DECODED = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_K", "q4_K", "q5_K", "q6_K"];
const ENCODED = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"];
const WEIGHTS = 4 * 512;

function readBlocks(file: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(dataPath("quant-blocks", file)));
}

/** Index of the first difference, -1 when equal: a failure then names a place instead of printing 8 KiB. */
function firstDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Math.min(actual.length, expected.length);
  for (let i = 0; i < actual.length; i++) if (actual[i] !== expected[i]) return i;
  return -1;
}

describeWithData("blocks written by ggml", () => {
  it.each(DECODED)("%s decodes bit-exactly", (type) => {
    const format = formatByName(type);
    const bytes = readBlocks(`${type}.bin`);
    expect(bytes.length).toBe((WEIGHTS / format.blockSize) * format.blockBytes);
    const values = new Float32Array(WEIGHTS);
    format.decode(bytes, values);
    const expected = readBlocks(`${type}.deq.f32`);
    expect(firstDifference(new Uint32Array(values.buffer), new Uint32Array(expected.buffer))).toBe(-1);
  });

  it.each(ENCODED)("%s encodes bit-exactly", (type) => {
    const format = formatByName(type);
    const input = new Float32Array(readBlocks("input_4x512.f32").buffer);
    const expected = readBlocks(`${type}.bin`);
    const bytes = new Uint8Array(expected.length);
    format.encode?.(input, bytes);
    expect(firstDifference(bytes, expected)).toBe(-1);
  });
});
