/**
 * Training and inference see the same positions: logits of whole sequences under the training mask equal those of decoding
 * them token by token with the session's spans, for worked solutions and for every kind of mistake in their statements.
 */
import { describe, expect, it } from "vitest";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { ReferenceTraining } from "../../src/executors/training/reference-training.ts";
import { arithmeticExamples } from "../../src/methods/attention-span/arithmetic-examples.ts";
import { CONTROL_TOKENS, findControlTokens } from "../../src/methods/attention-span/control-tokens.ts";
import { loadProgram } from "../../src/models/registry.ts";
import { differentiate } from "../../src/program/differentiate.ts";
import { sequenceStep } from "../../src/session/sequence-steps.ts";
import { StatedSpans } from "../../src/session/stated-spans.ts";
import { loadTokenizer } from "../../src/tokenizer/load-tokenizer.ts";
import { trainBpe, vocabularyConfigJson, vocabularyJson } from "../../src/tokenizer/train-bpe.ts";
import { packSequences } from "../../src/training/batches.ts";
import { CorpusEncoder } from "../../src/training/corpus-encoder.ts";
import { createFreshModel } from "../../src/training/fresh-model.ts";
import { loadParameters } from "../../src/training/load-parameters.ts";
import { SpanExampleEncoder } from "../../src/training/span-examples.ts";

const CONTEXT = 384;
const RECIPE = { method: "attention-span", version: 1, instruction: "Compute.\n", headers: "full" } as const;

/** Statements that go wrong, one per kind. */
const MISTAKES: Readonly<Record<string, string>> = {
  reference: "<|span|>1:3+@9<|work|>3+5=8<|end|>\n<|span|>2:@1-1<|work|>8-1=7<|end|>\n",
  syntax: "<|span|>1:3++5<|work|>3+5=8<|end|>\n<|span|>2:@1-1<|work|>8-1=7<|end|>\n",
  id: "<|span|>4:3+5<|work|>3+5=8<|end|>\n<|span|>2:@1-1<|work|>8-1=7<|end|>\n",
  long: `<|span|>1:${"3+".repeat(40)}5<|work|>8<|end|>\n<|span|>2:@1-1<|work|>7<|end|>\n`,
  many: `<|span|>1:3<|work|>3<|end|>\n<|span|>2:${"@1,".repeat(20)}@1<|work|>3<|end|>\n`,
  nested: "<|span|>1:3<|span|>1:3+5<|work|>3+5=8<|end|>\n<|span|>2:@1-1<|work|>7<|end|>\n",
  stray: "<|work|>8<|end|>\n<|span|>1:3+5<|work|>3+5=8<|end|>\n",
  headless: "<|span|>1:3+5<|end|>\n<|span|>2:@1-1<|work|>7<|end|>\n",
};

async function makeModels() {
  const shape = { layers: 2, width: 16, heads: 2, kvHeads: 1, feedForwardWidth: 32, vocabularySize: 261 };
  const file = createFreshModel({ ...shape, contextLength: CONTEXT, tiedHead: true, activation: "relu" }, 3, {
    json: vocabularyJson(trainBpe(new Map(), 257), CONTROL_TOKENS),
    config: vocabularyConfigJson(CONTEXT),
    bosId: 0,
    eosId: 0,
  });
  const tokenizer = await loadTokenizer(file);
  const { program } = await loadProgram(file, { contextLength: CONTEXT });
  const training = new ReferenceTraining(differentiate(program, { recompute: "none" }), {
    rows: CONTEXT,
    sequenceLength: CONTEXT,
  });
  await loadParameters(file, training);
  const executor = await createReferenceExecutor(program, file, {
    threads: 1,
    limits: { contextLength: CONTEXT, slots: 1, stepTokens: CONTEXT },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  const encoder = new SpanExampleEncoder(
    tokenizer,
    await CorpusEncoder.create(tokenizer, file),
    RECIPE,
    true,
  );
  const rules = {
    control: findControlTokens(tokenizer),
    headers: RECIPE.headers,
    decode: (ids: readonly number[]) => tokenizer.decode(ids),
  };
  return { training, executor, encoder, rules };
}

/** Index of an example that training masks. */
const MASKED = 0;

describe("spans in training and inference", async () => {
  const { training, executor, encoder, rules } = await makeModels();
  const samples = [
    ...[
      ...arithmeticExamples({
        levels: [1, 2, 3],
        count: 42,
        seed: 9,
        split: "train",
        vary: 0,
        long: true,
        statements: true,
      }),
    ],
    ...Object.values(MISTAKES).map((answer) => ({ instruction: "Compute.\n", prompt: "3+5\n", answer })),
  ];

  it("are 50 samples", () => expect(samples).toHaveLength(50));

  it("give the same logits", { timeout: 120_000 }, async () => {
    let [worst, largest, masked] = [0, 0, 0];
    for (const sample of samples) {
      const sequence = encoder.encode(sample, [0], MASKED);
      const { tokens, firstTarget } = sequence;
      await training.evaluate(packSequences([sequence]));
      const logits = training.bufferValues(training.program.logits.name) ?? new Float64Array();
      const prompt = [...tokens.subarray(0, firstTarget)];
      const spans = new StatedSpans(
        {
          rules,
          sink: [
            ...encoder.encode({ ...sample, prompt: "", answer: "" }, [0], MASKED).tokens.subarray(0, -1),
          ],
        },
        prompt,
      );
      let output = await executor.step(
        sequenceStep({ tokens: prompt, outputs: [prompt.length - 1], prompt: true }, 0, 0),
      );
      for (let t = firstTarget; ; t++) {
        const row = (t - firstTarget) * 261;
        output.forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - logits[row + i]));
          largest = Math.max(largest, Math.abs(value));
        });
        if (t === tokens.length - 1) break;
        const visible = spans.next(tokens[t]);
        if (visible !== undefined) masked++;
        output = await executor.step(sequenceStep({ tokens: [tokens[t]], outputs: [0], visible }, t, 0));
      }
    }
    expect(worst).toBeLessThan(1e-4);
    expect(largest).toBeGreaterThan(0.05);
    expect(masked).toBeGreaterThan(1000);
  });
});
