import { describe, expect, it } from "vitest";
import { arithmeticExamples } from "../methods/attention-span/arithmetic-examples.ts";
import { CONTROL_TOKENS, findControlTokens } from "../methods/attention-span/control-tokens.ts";
import { trainBpe, vocabularyConfigJson, vocabularyJson } from "../tokenizer/train-bpe.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { packSequences } from "./batches.ts";
import { CorpusEncoder } from "./corpus-encoder.ts";
import { createFreshModel } from "./fresh-model.ts";
import { SpanExampleEncoder } from "./span-examples.ts";

const RECIPE = { method: "attention-span", version: 1, instruction: "Compute.\n", headers: "full" } as const;

async function makeEncoder(masked = true) {
  const shape = { layers: 1, width: 8, heads: 1, kvHeads: 1, feedForwardWidth: 16, vocabularySize: 261 };
  const file = createFreshModel({ ...shape, contextLength: 256, tiedHead: true, activation: "relu" }, 0, {
    json: vocabularyJson(trainBpe(new Map(), 257), CONTROL_TOKENS),
    config: vocabularyConfigJson(256),
    bosId: 0,
    eosId: 0,
  });
  const tokenizer = await loadTokenizer(file);
  const encoder = await CorpusEncoder.create(tokenizer, file);
  return { tokenizer, spans: new SpanExampleEncoder(tokenizer, encoder, RECIPE, masked) };
}

const EXAMPLE = {
  instruction: "Compute.\n",
  prompt: "((3+5)*(7-2))-4\n",
  answer:
    "<|span|>1:3+5<|work|>3+5=8<|end|>\n<|span|>2:7-2<|work|>7-2=5<|end|>\n<|span|>3:@1*@2<|work|>8*5=40<|end|>\n",
};

describe("span examples", () => {
  it("take one token per character and control token", async () => {
    const { tokenizer, spans } = await makeEncoder();
    const { tokens, firstTarget } = spans.encode(EXAMPLE, [0], 0);
    expect(findControlTokens(tokenizer)).toEqual({
      span: 257,
      work: 258,
      end: 259,
      sentence: 260,
      endOfText: 0,
    });
    expect([tokens.length, firstTarget]).toEqual([72, 26]);
    expect(tokenizer.decode([...tokens.slice(10, 25)])).toBe("((3+5)*(7-2))-4");
  });

  it("are masked by what their statements name", async () => {
    const { spans } = await makeEncoder();
    const sequence = spans.encode(EXAMPLE, [0], 0);
    const { visible } = packSequences([sequence]);
    expect(visible).toHaveLength(71);
    expect(visible?.[31]).toBeUndefined();
    expect(visible?.[62]).toEqual([
      { start: 0, end: 10 },
      { start: 26, end: 39 },
      { start: 40, end: 53 },
      { start: 54, end: 63 },
    ]);
  });

  it("leave one in ten without a mask, and all of the control", async () => {
    const { spans } = await makeEncoder();
    const full = (await makeEncoder(false)).spans;
    const examples = [
      ...arithmeticExamples({
        levels: [2],
        count: 400,
        seed: 1,
        split: "train",
        vary: 0,
        long: true,
        statements: true,
      }),
    ];
    const unmasked = examples.filter((example, i) => spans.encode(example, [0], i).visible === undefined);
    expect(unmasked.length).toBeGreaterThan(30);
    expect(unmasked.length).toBeLessThan(50);
    expect(examples.every((example, i) => full.encode(example, [0], i).visible === undefined)).toBe(true);
  });

  it("refuse a second instruction", async () => {
    const { spans } = await makeEncoder();
    expect(() => spans.encode({ ...EXAMPLE, instruction: "Solve.\n" }, [0], 1)).toThrow(
      /example 2: instruction/,
    );
  });
});
