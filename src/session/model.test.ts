import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHAT_TEMPLATE, loadSyntheticModel } from "../../test/synthetic-model.ts";
import { ContextOverflowError, NumericError, OptionError, UnsupportedError } from "../errors.ts";
import type { Piece } from "./generation-record.ts";
import type { Model } from "./model.ts";
import type { GenerationOptions } from "./options.ts";

/** Deterministic, and never ended by the model's own choice. */
function greedy(model: Model, maxTokens: number): GenerationOptions {
  const bias = Object.fromEntries([...model.tokenizer.endIds].map((id) => [id, -1000]));
  return { temperature: 0, maxTokens, logitBias: bias };
}

describe("Model.generate", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadSyntheticModel();
  });
  afterAll(() => model.dispose());

  it("yields one piece per token and a result that agrees with them", async () => {
    const generation = model.generate("hello", greedy(model, 12));
    const pieces: Piece[] = [];
    for await (const piece of generation) pieces.push(piece);
    const result = await generation.result();
    expect(pieces).toHaveLength(12);
    expect(result.tokenIds).toEqual(pieces.map((piece) => piece.tokenId));
    expect(result.text).toBe(pieces.map((piece) => piece.text).join(""));
    expect(result.finishReason).toBe("length");
    expect(result.promptTokenIds).toEqual(model.tokenize("hello"));
    expect(result.timing.decodeTokensPerSecond).toBeGreaterThan(0);
    expect(result.reads.bytesPerToken).toBeGreaterThan(model.executor.readBytes(1).total);
  });

  it("gives the same tokens whatever the prompt's pieces and whatever was reused", async () => {
    const prompt = model.tokenize("a prompt that is long enough to be cut into several steps");
    const whole = await model.generate(prompt, greedy(model, 8)).result();
    const again = await model.generate(prompt, greedy(model, 8)).result();
    expect(again.reusedTokens).toBe(prompt.length - 1);
    const cut = await loadSyntheticModel({ engine: { stepTokens: 5 } });
    const fresh = await cut.generate(prompt, greedy(cut, 8)).result();
    await cut.dispose();
    expect(again.tokenIds).toEqual(whole.tokenIds);
    expect(fresh.tokenIds).toEqual(whole.tokenIds);
  });

  it("gives the same text for the same seed and reports the one it chose", async () => {
    const first = await model.generate("seed", { maxTokens: 16, temperature: 1.5 }).result();
    const second = await model
      .generate("seed", { maxTokens: 16, temperature: 1.5, seed: first.seed })
      .result();
    expect(second.tokenIds).toEqual(first.tokenIds);
  });

  it("ends at a stop string without emitting it", async () => {
    const free = await model.generate("stop", greedy(model, 24)).result();
    const stop = free.text.slice(6, 9);
    const stopped = await model.generate("stop", { ...greedy(model, 24), stop: [stop] }).result();
    expect(stopped.finishReason).toBe("stop_string");
    expect(stopped.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
  });

  it("ends with reason stop at an end token, whose text is not emitted", async () => {
    const [eos] = model.tokenizer.endIds;
    const result = await model.generate("x", { temperature: 0, logitBias: { [eos]: 1000 } }).result();
    expect(result).toMatchObject({ finishReason: "stop", tokenIds: [eos], text: "" });
  });

  it("ends with reason length where the context ends, and refuses longer prompts with numbers", async () => {
    const prompt = new Array<number>(250).fill(5);
    const result = await model.generate(prompt, greedy(model, 100)).result();
    expect(result.finishReason).toBe("length");
    expect(result.tokenIds).toHaveLength(256 - 250 + 1);
    expect(() => model.generate(new Array<number>(257).fill(5))).toThrow(ContextOverflowError);
    expect(() => model.generate(new Array<number>(257).fill(5))).toThrow(
      "257 tokens do not fit a context of 256",
    );
  });

  it("refuses prompts without tokens and ids out of range", () => {
    expect(() => model.generate([])).toThrow(OptionError);
    expect(() => model.generate([1, 320])).toThrow("token id out of range, expected 0 to 319, got 320");
  });

  it("reports log-probabilities of the model's own distribution", async () => {
    const generation = model.generate("probable", { ...greedy(model, 3), logprobs: 320 });
    for await (const { tokenId, logprob, topLogprobs } of generation) {
      const mass = topLogprobs?.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0);
      expect(mass).toBeCloseTo(1, 5);
      expect(topLogprobs?.find((entry) => entry.tokenId === tokenId)?.logprob).toBe(logprob);
    }
  });

  it("stops when aborted and can go on afterwards", async () => {
    const controller = new AbortController();
    const options = { ...greedy(model, 100), signal: controller.signal };
    const generation = model.generate("abort", options);
    let count = 0;
    for await (const _ of generation) if (++count === 3) controller.abort();
    const aborted = await generation.result();
    expect(aborted.finishReason).toBe("aborted");
    expect(aborted.tokenIds).toHaveLength(3);
    const before = await model.generate("abort", { ...options, signal: AbortSignal.abort() }).result();
    expect(before).toMatchObject({ finishReason: "aborted", tokenIds: [], text: "" });
    const whole = await model.generate("abort", greedy(model, 5)).result();
    expect(whole.tokenIds.slice(0, 3)).toEqual(aborted.tokenIds);
  });

  it("frees its slot when the consumer leaves, and tells the result so", async () => {
    const generation = model.generate("leave", greedy(model, 50));
    for await (const _ of generation) break;
    const result = await generation.result();
    expect(result.finishReason).toBe("aborted");
    expect(result.tokenIds).toHaveLength(1);
    await expect(model.generate("next", greedy(model, 2)).result()).resolves.toMatchObject({
      finishReason: "length",
    });
    expect(() => generation[Symbol.asyncIterator]()).toThrow("iterated twice");
  });

  it("refuses unknown options", () => {
    const options = { maxToken: 3 } as GenerationOptions;
    expect(() => model.generate("x", options)).toThrow('did you mean "maxTokens"?');
  });

  it("throws NumericError when logits are not numbers", async () => {
    const broken = await loadSyntheticModel();
    const step = broken.executor.step.bind(broken.executor);
    broken.executor.step = async (...args) => (await step(...args)).fill(Number.NaN);
    await expect(broken.generate("x").result()).rejects.toThrow(NumericError);
    await broken.dispose();
  });
});

describe("generations side by side", () => {
  it("equal those made one after the other", async () => {
    const model = await loadSyntheticModel({ engine: { slots: 2 } });
    const prompts = ["first prompt", "the second one", "and a third"];
    const together = await Promise.all(
      prompts.map((prompt) => model.generate(prompt, greedy(model, 10)).result()),
    );
    for (const [index, prompt] of prompts.entries()) {
      const alone = await model.generate(prompt, greedy(model, 10)).result();
      expect(alone.tokenIds).toEqual(together[index].tokenIds);
    }
    await model.dispose();
  });
});

describe("Model.chat", () => {
  it("evaluates only what is new in the next turn", async () => {
    const model = await loadSyntheticModel({ chatTemplate: CHAT_TEMPLATE });
    const question = { role: "user", content: "how are you" };
    const first = await model.chat([question], greedy(model, 6)).result();
    expect(first.promptTokenIds).toEqual(model.tokenize("user: how are you\nassistant:"));
    const messages = [question, { role: "assistant", content: "fine" }, { role: "user", content: "good" }];
    const second = await model.chat(messages, greedy(model, 6)).result();
    expect(second.reusedTokens).toBeGreaterThanOrEqual(first.promptTokenIds.length);
    const fresh = await loadSyntheticModel({ chatTemplate: CHAT_TEMPLATE });
    expect((await fresh.chat(messages, greedy(fresh, 6)).result()).tokenIds).toEqual(second.tokenIds);
    await Promise.all([model.dispose(), fresh.dispose()]);
  });

  it("refuses models without a template, and disposed ones", async () => {
    const model = await loadSyntheticModel();
    expect(() => model.chat([{ role: "user", content: "hi" }])).toThrow(UnsupportedError);
    await model.dispose();
    await model.dispose();
    expect(() => model.generate("x")).toThrow("was disposed");
  });
});
