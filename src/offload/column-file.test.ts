/**
 * The column file's header: what is written is read back;
 * what is damaged is refused with one line or changes nothing.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError } from "../errors.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../models/synthetic/shape.ts";
import { memorySink, memorySource } from "../platform/memory.ts";
import { columnStride, readColumnHeader } from "./column-file.ts";
import { fileOps, writeColumnFile } from "./column-writer.ts";

async function tinyFile(): Promise<Uint8Array> {
  const model = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 3));
  const { program } = await loadRecipeProgram(model);
  const sink = memorySink("tiny.columns");
  const bytes = await writeColumnFile(model, program, sink);
  const written = sink.bytes();
  if (written === undefined) throw new Error("not finished");
  expect(written.length).toBe(bytes);
  return written;
}

const read = (bytes: Uint8Array) => readColumnHeader(memorySource("tiny.columns", bytes));

test("strides: rows to units of 16, columns to 512 bytes", () => {
  expect(columnStride(11008, 2, "q8")).toBe(22016);
  expect(columnStride(4096, 1, "q8")).toBe(4096);
  expect(columnStride(17, 1, "q8")).toBe(512);
  expect(columnStride(257, 2, "q8")).toBe(1024);
  // 4 bits: 2 x (344 shares in 352 bytes + 5504 bytes), and 128 + 2048, to multiples of 512.
  expect(columnStride(11008, 2, "q4")).toBe(11776);
  expect(columnStride(4096, 1, "q4")).toBe(2560);
});

test("every gated layer has its two ops, on pages, in the program's order", async () => {
  const model = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 3));
  const { program } = await loadRecipeProgram(model);
  const { ops } = await read(await tinyFile());
  expect(ops.map(({ weights }) => weights)).toEqual(fileOps(program).map((op) => op.map(({ name }) => name)));
  expect(ops[0].weights).toEqual(["layers.0.feedForward.gate", "layers.0.feedForward.up"]);
  for (const { offset, stride, columns, scales } of ops) {
    expect(offset % 4096).toBe(0);
    expect(scales).toBe(offset + columns * stride);
  }
});

describe("damage", () => {
  test("cut off anywhere", async () => {
    const file = await tinyFile();
    for (const length of [0, 8, 15, 16, 100, 4096, file.length - 4096]) {
      await expect(read(file.subarray(0, length))).rejects.toThrow(FormatError);
    }
  });

  test("flipped bits in the header", async () => {
    const file = await tinyFile();
    const original = await read(file);
    const text = 16 + new DataView(file.buffer).getUint32(12, true);
    await fc.assert(
      fc.asyncProperty(fc.nat(text - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = file.slice();
        damaged[at] ^= flip;
        const outcome = await read(damaged).catch((error: unknown) => error);
        if (outcome instanceof Error) {
          expect(outcome).toBeInstanceOf(FormatError);
          expect(outcome.message).not.toMatch(/\n/);
        } else {
          // Names, the digest, and offsets that stay in bounds can change unnoticed here; sizes cannot.
          const sizes = (header: typeof original) =>
            header.ops.map(({ weights, stride }) => [weights.length, stride]);
          expect(sizes(outcome as typeof original)).toEqual(sizes(original));
        }
      }),
      { numRuns: 500 },
    );
  });
});
