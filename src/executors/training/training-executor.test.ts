/** What both trainers refuse: batches that would read or write where nothing of theirs lies. */
import { expect, test } from "vitest";
import { OptionError } from "../../errors.ts";
import { differentiate } from "../../program/differentiate.ts";
import { loadProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { checkBatch, type TrainingBatch } from "./training-executor.ts";

const LIMITS = { rows: 8, sequenceLength: 4 };

/** Sequences of 4 and 2 tokens. */
const GOOD: TrainingBatch = {
  tokens: Int32Array.of(1, 2, 3, 4, 5, 6),
  positions: Int32Array.of(0, 1, 2, 3, 0, 1),
  bounds: Int32Array.of(0, 4, 6),
  outputs: Int32Array.of(0, 2, 4),
  targets: Int32Array.of(2, 4, 6),
};

const BAD: readonly (readonly [string, Partial<TrainingBatch>, string])[] = [
  ["a token beyond the vocabulary", { tokens: Int32Array.of(1, 2, 3, 4, 5, 1e6) }, "expected tokens below"],
  ["a target beyond the vocabulary", { targets: Int32Array.of(2, 4, -1) }, "expected targets below"],
  ["a target too many", { targets: Int32Array.of(2, 4, 6, 8) }, "expected 3 targets, got 4"],
  ["bounds that end early", { bounds: Int32Array.of(0, 4) }, "expected bounds from 0 to 6"],
  ["a sequence too long", { bounds: Int32Array.of(0, 6) }, "expected sequences of 1 to 4 tokens"],
  ["an output row twice", { outputs: Int32Array.of(0, 2, 2) }, "expected ascending output rows below 6"],
  ["an output row too far", { outputs: Int32Array.of(0, 2, 6) }, "expected ascending output rows below 6"],
  [
    "positions too far",
    { positions: Int32Array.of(4, 5, 6, 7, 4, 5) },
    "expected position 0 in row 0, got 4",
  ],
  [
    "positions across sequences",
    { positions: Int32Array.of(0, 1, 2, 3, 4, 5) },
    "expected position 0 in row 4, got 4",
  ],
  ["a teacher nobody asked for", { teacher: new Float32Array(3) }, "expected no teacher logits, got 3"],
];

test("accepts a batch of whole sequences and refuses what does not fit", async () => {
  const file = await openSyntheticFolder(createSyntheticCheckpoint("llama", syntheticShape("llama"), 3));
  const program = differentiate((await loadProgram(file)).program, {});
  checkBatch(GOOD, program, LIMITS);
  for (const [what, change, message] of BAD) {
    expect(() => checkBatch({ ...GOOD, ...change }, program, LIMITS), what).toThrow(OptionError);
    expect(() => checkBatch({ ...GOOD, ...change }, program, LIMITS), what).toThrow(message);
  }
});
