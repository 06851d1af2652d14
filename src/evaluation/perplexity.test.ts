import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadSyntheticModel } from "../../test/synthetic-model.ts";
import { ContextOverflowError, OptionError } from "../errors.ts";
import type { Model } from "../session/model.ts";
import { cutSliding, measurePerplexity, type PerplexityProtocol } from "./perplexity.ts";

const TEXT = "the quick brown fox jumps over the lazy dog and is gone";

describe("measurePerplexity", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadSyntheticModel({ model: { keyValueFormat: "f32" }, engine: { stepTokens: 7 } });
  });
  afterAll(() => model.dispose());

  /** -ln p of each token but the first of a window, straight from the executor, one token at a time. */
  async function naiveNll(window: readonly number[]): Promise<number[]> {
    const losses: number[] = [];
    for (let position = 0; position + 1 < window.length; position++) {
      const logits = await model.executor.step({
        tokens: Int32Array.of(window[position]),
        positions: Int32Array.of(position),
        slots: Int32Array.of(0),
        outputs: Int32Array.of(0),
      });
      const total = logits.reduce((sum, value) => sum + Math.exp(value), 0);
      losses.push(Math.log(total) - logits[window[position + 1]]);
    }
    return losses;
  }

  const measure = (protocol: PerplexityProtocol, context: number, text = TEXT) =>
    measurePerplexity(model, text, { protocol, context });
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

  it("document: every token of the text, from BOS", async () => {
    const tokens = model.tokenize(TEXT);
    const losses = await naiveNll(tokens);
    const report = await measure("document", 256);
    expect(tokens[0]).toBe(model.tokenizer.bosId);
    expect(report.tokensScored).toBe(tokens.length - 1);
    expect(report.meanNll).toBeCloseTo(sum(losses) / losses.length, 6);
    expect(report.perplexity).toBe(Math.exp(report.meanNll));
    expect(report.textSha256).toBe("ed213d6fa3c767dc0d92c01c435208cf93b4f149689b516f766d0ea3c31d780e");
  });

  it("llama.cpp: second halves of windows that start with BOS", async () => {
    const tokens = model.tokenize(TEXT);
    const losses: number[] = [];
    const windows = Math.floor(tokens.length / 16);
    for (let index = 0; index < windows; index++) {
      const window = [model.tokenizer.bosId as number, ...tokens.slice(index * 16 + 1, (index + 1) * 16)];
      losses.push(...(await naiveNll(window)).slice(8));
    }
    const report = await measure("llama.cpp", 16, `${TEXT}\n`);
    expect(report.tokensScored).toBe(windows * 7);
    expect(report.meanNll).toBeCloseTo(sum(losses) / losses.length, 6);
  });

  it("gptq: all predictions of disjoint windows", async () => {
    const tokens = model.tokenize(TEXT);
    const losses: number[] = [];
    for (let begin = 0; begin + 12 <= tokens.length; begin += 12) {
      losses.push(...(await naiveNll(tokens.slice(begin, begin + 12))));
    }
    const report = await measure("gptq", 12);
    expect(report.tokensScored).toBe(losses.length);
    expect(report.meanNll).toBeCloseTo(sum(losses) / losses.length, 6);
  });

  it("hf: new tokens of sliding windows, weighed as the documentation does", async () => {
    const tokens = model.tokenize(TEXT);
    let weighted = 0;
    let count = 0;
    let scoredTo = 0;
    for (let begin = 0; scoredTo < tokens.length; begin += 8) {
      const end = Math.min(begin + 16, tokens.length);
      const losses = (await naiveNll(tokens.slice(begin, end))).slice(Math.max(0, scoredTo - begin - 1));
      weighted += (sum(losses) / losses.length) * (end - scoredTo - 1);
      count += end - scoredTo - 1;
      scoredTo = end;
    }
    const report = await measure("hf", 16);
    expect(report.tokensScored).toBe(count);
    expect(report.meanNll).toBeCloseTo(weighted / count, 6);
  });

  it("takes a control token in the text for text or for a token, as the tools do", async () => {
    const text = "ab</s>cd";
    expect((await measure("document", 256, text)).tokensScored).toBe(
      model.tokenize(text, { parseSpecial: false }).length - 1,
    );
    expect((await measure("hf", 32, text)).tokensScored).toBe(model.tokenize(text).length - 1);
    expect(model.tokenize(text)).toContain(2);
  });

  it("refuses what a protocol cannot measure", async () => {
    await expect(measure("llama.cpp", 128)).rejects.toThrow(OptionError);
    await expect(measure("gptq", 300)).rejects.toThrow("window of 300 tokens, expected 2 to 256");
    await expect(measure("document", 256, TEXT.repeat(9))).rejects.toThrow(ContextOverflowError);
  });
});

describe("cutSliding", () => {
  it("advances by the stride and scores each token once", () => {
    const tokens = Array.from({ length: 11 }, (_, index) => index);
    const windows = cutSliding(tokens, 4, 2).map(({ tokens: part, firstTarget, weight }) => [
      part[0],
      part.length,
      firstTarget,
      weight,
    ]);
    // The last window brings a single new token, which weighs nothing.
    expect(windows).toEqual([
      [0, 4, 1, 3],
      [2, 4, 2, 1],
      [4, 4, 2, 1],
      [6, 4, 2, 1],
    ]);
  });
});
