/**
 * Batches: every window once per epoch, reproducible, packed sequences apart,
 * examples masked to their answers.
 */
import { describe, expect, test } from "vitest";
import { FormatError } from "../errors.ts";
import { advance, packSequences, TextBatches, validationBatches } from "./batches.ts";
import { ExampleBatches, packExamples } from "./example-batches.ts";
import { learningRateAt } from "./schedule.ts";

const TOKENS = Int32Array.from({ length: 1000 }, (_, i) => i);
const SHAPE = { sequences: 3, length: 10 };

describe("text", () => {
  test("an epoch has every window once, in an order and from an offset of its own", () => {
    const source = new TextBatches("text", TOKENS, SHAPE, 4);
    const starts = (epoch: number) =>
      Array.from({ length: source.count() }, (_, i) => source.batch(epoch, i)).flatMap(({ tokens, bounds }) =>
        [...bounds.slice(0, -1)].map((row) => tokens[row]),
      );
    const [first, second] = [starts(0), starts(1)];
    expect(first).toHaveLength(96); // 98 windows make 32 batches of 3
    expect(new Set(first).size).toBe(96);
    expect(new Set(first.map((start) => start % 10)).size).toBe(1);
    expect(second).not.toEqual(first);
    expect(new TextBatches("text", TOKENS, SHAPE, 4).batch(1, 5)).toEqual(source.batch(1, 5));
    expect(new TextBatches("text", TOKENS, SHAPE, 5).batch(1, 5)).not.toEqual(source.batch(1, 5));
  });

  test("targets are the next tokens, positions start over", () => {
    const { tokens, targets, positions, outputs, bounds } = new TextBatches("text", TOKENS, SHAPE, 4).batch(
      0,
      0,
    );
    expect([...targets]).toEqual([...tokens].map((token) => token + 1));
    expect([...positions]).toEqual([...tokens].map((_, i) => i % 10));
    expect([...outputs]).toEqual([...tokens].map((_, i) => i));
    expect([...bounds]).toEqual([0, 10, 20, 30]);
  });

  test("validation scores every token but the first once", () => {
    const batches = validationBatches(TOKENS.subarray(0, 48), SHAPE, 1e9);
    expect(batches.flatMap(({ targets }) => [...targets])).toEqual(
      Array.from({ length: 47 }, (_, i) => i + 1),
    );
    expect([...batches[1].bounds]).toEqual([0, 10, 17]);
    const few = validationBatches(TOKENS, SHAPE, 25).flatMap(({ targets }) => [...targets]);
    expect(few).toHaveLength(25);
  });

  test("a text shorter than two windows is refused", () => {
    expect(() => new TextBatches("text", TOKENS.subarray(0, 20), SHAPE, 4)).toThrow(FormatError);
    expect(new TextBatches("text", TOKENS.subarray(0, 21), SHAPE, 4).count()).toBe(1);
  });

  test("the cursor walks through epochs", () => {
    const source = new TextBatches("text", TOKENS.subarray(0, 100), SHAPE, 4);
    expect(source.count()).toBe(2);
    expect(advance(source, { epoch: 0, index: 0 })).toEqual({ epoch: 0, index: 1 });
    expect(advance(source, { epoch: 0, index: 1 })).toEqual({ epoch: 1, index: 0 });
  });
});

describe("examples", () => {
  const example = (length: number, firstTarget: number) => ({
    tokens: Int32Array.from({ length }, (_, i) => 100 * length + i),
    firstTarget,
  });

  test("only answers are predicted", () => {
    const batch = packSequences([example(5, 3), example(4, 1)]);
    expect([...batch.tokens]).toEqual([500, 501, 502, 503, 400, 401, 402]);
    expect([...batch.positions]).toEqual([0, 1, 2, 3, 0, 1, 2]);
    expect([...batch.outputs]).toEqual([2, 3, 4, 5, 6]);
    expect([...batch.targets]).toEqual([503, 504, 401, 402, 403]);
    expect([...batch.bounds]).toEqual([0, 4, 7]);
  });

  test("are packed up to the rows of a micro-batch, all of them in every epoch", () => {
    const examples = Array.from({ length: 20 }, (_, i) => example(3 + (i % 9), 2));
    const source = new ExampleBatches(examples, SHAPE, 1);
    for (const epoch of [0, 1]) {
      const batches = Array.from({ length: source.count(epoch) }, (_, i) => source.batch(epoch, i));
      expect(batches.every(({ tokens }) => tokens.length <= 30)).toBe(true);
      expect(batches.reduce((sum, { bounds }) => sum + bounds.length - 1, 0)).toBe(20);
    }
    expect(source.batch(1, 0)).not.toEqual(source.batch(0, 0));
    expect(packExamples(examples, SHAPE)[0].bounds.length - 1).toBe(6); // 2 + 3 + 4 + 5 + 6 + 7 rows
  });
});

test("the learning rate rises, then falls by a cosine to its final share", () => {
  const schedule = { steps: 110, warmup: 10, learningRate: 2, finalShare: 0.1 };
  expect(learningRateAt(1, schedule)).toBeCloseTo(0.2);
  expect(learningRateAt(10, schedule)).toBe(2);
  expect(learningRateAt(60, schedule)).toBeCloseTo(1.1);
  expect(learningRateAt(110, schedule)).toBeCloseTo(0.2);
  expect(learningRateAt(1, { ...schedule, warmup: 0 })).toBeLessThan(2);
});
