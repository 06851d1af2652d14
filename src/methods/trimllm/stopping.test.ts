/** Each way a run ends, and which size it chooses; also that splits are disjoint and prompts are no targets. */
import { describe, expect, test } from "vitest";
import type { ChoiceQuestion, ChoiceReport } from "../../evaluation/multiple-choice.ts";
import { packSequences } from "../../training/batches.ts";
import { hashQuestions, splitQuestions, textQuestions, trainingSequence } from "./data.ts";
import { chooseSize, endReason, type TrimGoal } from "./stopping.ts";
import type { TrimRound } from "./trim-state.ts";

const NO_GOAL: TrimGoal = { leastAccuracy: undefined, mostPerplexity: undefined, mostBytes: undefined };

function report(accuracy: number, meanNll: number, chance = 0.25): ChoiceReport {
  return { questions: 100, accuracy, normalizedAccuracy: accuracy, standardError: 0.03, chance, meanNll };
}

/** Rounds of the given accuracies, a hundred bytes less each. */
function rounds(accuracies: readonly number[], chance = 0.25): { rounds: TrimRound[] } {
  const size = (i: number) => ({
    parameters: 1,
    tensorBytes: 1000 - 100 * i,
    readBytes: 1,
    keyValueBytes: 0,
  });
  return {
    rounds: accuracies.map((accuracy, i) => ({
      dropped: [],
      scan: [],
      tied: 0,
      scanSeconds: 0,
      result: {
        step: i,
        loss: 1,
        tuneSeconds: 1,
        validation: report(accuracy, 1 - accuracy, chance),
        size: size(i),
      },
    })),
  };
}

describe("a run ends", () => {
  test.each([
    ["when accuracy falls below the goal", { leastAccuracy: 0.7 }, [0.8, 0.75, 0.69], 5, 9, "quality"],
    ["not before", { leastAccuracy: 0.7 }, [0.8, 0.75, 0.7], 5, 9, undefined],
    ["when perplexity rises above it", { mostPerplexity: Math.exp(0.3) }, [0.8, 0.69], 5, 9, "quality"],
    ["when it is small enough", { mostBytes: 800 }, [0.8, 0.7, 0.6], 5, 9, "bytes"],
    ["and no size earlier", { mostBytes: 799 }, [0.8, 0.7, 0.6], 5, 9, undefined],
    ["when one unit is left", {}, [0.8, 0.7], 1, 9, "empty"],
    ["when the units asked for are gone", {}, [0.8, 0.7, 0.6], 5, 2, "units"],
    ["with a budget of 16 at 16", {}, Array(17).fill(0.8), 5, 16, "units"],
    ["with a budget of 16 not at 15", {}, Array(16).fill(0.8), 5, 16, undefined],
  ] as const)("%s", (_, goal, accuracies, remaining, most, expected) => {
    expect(endReason({ ...NO_GOAL, ...goal }, rounds(accuracies), remaining, most)).toBe(expected);
  });
});

describe("the chosen size", () => {
  test.each([
    [
      "is the smallest that holds the accuracy",
      { leastAccuracy: 0.7 },
      [0.8, 0.75, 0.69, 0.71, 0.5],
      3,
      true,
    ],
    ["is within one standard error where nothing was asked", {}, [0.8, 0.78, 0.771, 0.76], 2, true],
    ["fits the bytes", { mostBytes: 850 }, [0.8, 0.79, 0.5], 2, true],
    ["fits bytes and accuracy", { mostBytes: 950, leastAccuracy: 0.7 }, [0.8, 0.75, 0.6], 1, true],
    ["is the best of all where none is good enough", { leastAccuracy: 0.9 }, [0.7, 0.8, 0.6], 1, false],
    ["is the smallest where none fits", { mostBytes: 10 }, [0.8, 0.7], 1, false],
  ] as const)("%s", (_, goal, accuracies, round, meets) => {
    expect(chooseSize({ ...NO_GOAL, ...goal }, rounds(accuracies))).toEqual({ round, meets });
  });

  test("goes by perplexity where there are no options", () => {
    // Losses .2, .24, .26: 5 % more perplexity is a loss of .0488 more.
    expect(chooseSize(NO_GOAL, rounds([0.8, 0.76, 0.74], 1))).toEqual({ round: 1, meets: true });
  });
});

describe("splits", () => {
  const question = (n: number): ChoiceQuestion => ({
    prompt: [1, n, n + 1],
    options: [[5], [6, 7]],
    optionBytes: [1, 2],
    answer: n % 2,
  });
  const sizes = { calibration: 20, validation: 10, context: 8, seed: 3 };
  const all = Array.from({ length: 60 }, (_, n) => question(n));

  test("are disjoint, without duplicates and without what is tested", () => {
    const tested = [question(3), question(200)];
    const long = { ...question(70), prompt: Array(7).fill(1) };
    const data = splitQuestions("d", [...all, question(5), long], tested, sizes);
    expect(data.left).toEqual({ tooLong: 1, twice: 1, inTest: 1 });
    const parts = [data.train, data.calibration, data.validation, data.test];
    expect(parts.map(({ length }) => length)).toEqual([59 - 30, 20, 10, 2]);
    const contents = parts.flat().map(({ prompt }) => prompt.join());
    expect(new Set(contents).size).toBe(contents.length);
    expect(new Set(parts.map(hashQuestions)).size).toBe(4);
    expect(splitQuestions("d", [...all, question(5), long], tested, sizes)).toEqual(data);
    expect(splitQuestions("d", all, [], { ...sizes, seed: 4 }).calibration).not.toEqual(data.calibration);
  });

  test("need something to train on", () => {
    expect(() => splitQuestions("d", all.slice(0, 30), [], sizes)).toThrow(
      /expected more than the 20 .* and 10/,
    );
  });

  test("a prompt's tokens are inputs and no targets", () => {
    const sequence = trainingSequence(question(9), 0);
    expect([...sequence.tokens]).toEqual([1, 9, 10, 6, 7, 0]);
    const batch = packSequences([sequence]);
    expect([...batch.tokens]).toEqual([1, 9, 10, 6, 7]);
    expect([...batch.outputs]).toEqual([2, 3, 4]);
    expect([...batch.targets]).toEqual([6, 7, 0]);
  });

  test("text is cut into windows that predict all but their first token", () => {
    const windows = textQuestions(
      Int32Array.from({ length: 20 }, (_, i) => i),
      8,
    );
    expect(windows).toHaveLength(2);
    expect(windows[1]).toEqual({
      prompt: [7],
      options: [[8, 9, 10, 11, 12, 13]],
      optionBytes: [6],
      answer: 0,
    });
  });
});
