/**
 * Likelihoods of options against the sum of one-token steps; five options are five;
 * files with mistakes are refused.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadSyntheticModel } from "../../test/synthetic-model.ts";
import type { Model } from "../session/model.ts";
import { encodeQuestion, parseQuestions, questionLength } from "./choice-questions.ts";
import { answerQuestions, type ChoiceQuestion, scoreOptions } from "./multiple-choice.ts";

describe("multiple choice", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadSyntheticModel({ model: { keyValueFormat: "f32" }, engine: { stepTokens: 3 } });
  });
  afterAll(() => model.dispose());

  const question: ChoiceQuestion = {
    prompt: [1, 40, 50, 60, 70],
    options: [[80, 90, 100, 110, 120], [130], [140, 150]],
    optionBytes: [5, 1, 2],
    answer: 1,
  };

  /** ln p of the tokens behind `before`, one step each. */
  async function naive(before: readonly number[], tokens: readonly number[]): Promise<number> {
    const all = [...before, ...tokens];
    let sum = 0;
    for (let position = 0; position + 1 < all.length; position++) {
      const logits = await model.executor.step({
        tokens: Int32Array.of(all[position]),
        positions: Int32Array.of(position),
        slots: Int32Array.of(0),
        outputs: Int32Array.of(0),
      });
      const total = logits.reduce((result, value) => result + Math.exp(value), 0);
      if (position + 1 >= before.length) sum += logits[all[position + 1]] - Math.log(total);
    }
    return sum;
  }

  const run = <T>(use: (run: Parameters<typeof answerQuestions>[1]) => Promise<T>) =>
    model.withSequence((sequence, queue) => use({ sequence, queue, stepTokens: 3 }));

  it("sums the likelihoods of each option behind the same prompt", async () => {
    const got = await run((context) => scoreOptions(question, context));
    for (const [i, option] of question.options.entries()) {
      expect(got[i]).toBeCloseTo(await naive(question.prompt, option), 4);
    }
  });

  it("reports accuracy, loss and chance of what was asked", async () => {
    const scores = await run((context) => scoreOptions(question, context));
    const best = scores.indexOf(Math.max(...scores));
    const perByte = scores.map((score, i) => score / question.optionBytes[i]);
    const bestPerByte = perByte.indexOf(Math.max(...perByte));
    const questions = [0, 1, 2].map((answer) => ({ ...question, answer }));
    const report = await run((context) => answerQuestions(questions, context));
    expect(report).toMatchObject({ questions: 3, accuracy: 1 / 3, normalizedAccuracy: 1 / 3 });
    expect(report.chance).toBeCloseTo(1 / 3, 12);
    expect(report.meanNll).toBeCloseTo(-scores.reduce((sum, score) => sum + score, 0) / 8, 10);
    const right = await run((context) => answerQuestions([{ ...question, answer: best }], context));
    expect(right.accuracy).toBe(1);
    expect(right.normalizedAccuracy).toBe(best === bestPerByte ? 1 : 0);
  });

  it("scores all five of five options, whose chance is 20 %", async () => {
    const options = [[80], [81], [82], [83], [84]];
    const five = { prompt: [1, 2], options, optionBytes: [1, 1, 1, 1, 1], answer: 0 };
    const scores = await run((context) => scoreOptions(five, context));
    expect(scores).toHaveLength(5);
    const best = scores.indexOf(Math.max(...scores));
    // Put the likeliest one last: it is found there too.
    const order = [...options.filter((_, i) => i !== best), options[best]];
    const report = await run((context) => answerQuestions([{ ...five, options: order, answer: 4 }], context));
    expect(report).toMatchObject({ accuracy: 1, chance: 0.2 });
  });

  it("refuses to score nothing", async () => {
    await expect(run((context) => answerQuestions([], context))).rejects.toThrow(/at least one question/);
  });

  it("encodes prompt and options one after the other, behind the leading token", () => {
    const [read] = parseQuestions("f", '{"prompt":"a fox","options":[" red"," é"],"answer":1}\n\n');
    const encoded = encodeQuestion(read, model.tokenizer);
    expect(encoded.prompt[0]).toBe(model.tokenizer.bosId);
    expect(encoded.optionBytes).toEqual([4, 3]);
    expect(encoded.answer).toBe(1);
    const longest = Math.max(...encoded.options.map(({ length }) => length));
    expect(questionLength(encoded)).toBe(encoded.prompt.length + longest);
    expect(parseQuestions("f", '{"prompt":"a","answer":"b"}')).toEqual([
      { prompt: "a", options: ["b"], answer: 0 },
    ]);
  });

  it.each([
    ["{", /line 1: is not JSON/],
    ['{"prompt":"a","options":["b"],"answer":0}', /line 1: options: .*expected \{"prompt"/],
    ['{"prompt":"a","options":["b","c"],"answer":2}', /line 1: expected/],
    ['\n{"prompt":"a","answer":""}', /line 2: answer: .*expected \{"prompt"/],
  ])("refuses %s", (line, message) => {
    expect(() => parseQuestions("file", line)).toThrow(message);
  });
});
