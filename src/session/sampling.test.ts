import { describe, expect, it } from "vitest";
import type { GenerationOptions } from "./options.ts";
import { RandomSource } from "./random.ts";
import { resolveSampling, Sampler } from "./sampling.ts";

const ALL: GenerationOptions = { temperature: 1, topK: 0, topP: 1, minP: 0 };
// Probabilities 0.4, 0.3, 0.2, 0.1 at ids 2, 0, 3, 1.
const LOGITS = Float32Array.from([0.3, 0.1, 0.4, 0.2], Math.log);

function sampler(options: GenerationOptions, seed = 7): Sampler {
  return new Sampler(resolveSampling(options, seed), LOGITS.length);
}

/** Share of each id in `draws` samples. */
function shares(options: GenerationOptions, draws = 20_000): number[] {
  const counts = new Array<number>(LOGITS.length).fill(0);
  const source = sampler(options);
  for (let i = 0; i < draws; i++) counts[source.sample(LOGITS)]++;
  return counts.map((count) => count / draws);
}

describe("RandomSource", () => {
  it("follows xoshiro128** from a state computed by hand", () => {
    // First output is rotl(s1 * 5, 7) * 9 with s1 the second SplitMix32 word of seed 0.
    const word = (index: number) => {
      let mixed = Math.imul(index, 0x9e3779b9) >>> 0;
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      return (mixed ^ (mixed >>> 16)) >>> 0;
    };
    const product = (BigInt(word(2)) * 5n) & 0xffffffffn;
    const rotated = ((product << 7n) | (product >> 25n)) & 0xffffffffn;
    expect(new RandomSource(0).nextUint32()).toBe(Number((rotated * 9n) & 0xffffffffn));
  });

  it("is uniform enough in every eighth of [0, 1)", () => {
    const random = new RandomSource(123);
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < 80_000; i++) counts[Math.floor(random.nextUnit() * 8)]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });
});

describe("Sampler", () => {
  it("draws in proportion to the probabilities when every filter is off", () => {
    const [a, b, c, d] = shares(ALL);
    expect(a).toBeCloseTo(0.3, 1);
    expect(b).toBeCloseTo(0.1, 1);
    expect(c).toBeCloseTo(0.4, 1);
    expect(d).toBeCloseTo(0.2, 1);
  });

  it("is greedy at temperature 0 and repeats with the same seed", () => {
    expect(sampler({ temperature: 0 }).sample(LOGITS)).toBe(2);
    const first = sampler(ALL, 99);
    const second = sampler(ALL, 99);
    for (let i = 0; i < 100; i++) expect(first.sample(LOGITS)).toBe(second.sample(LOGITS));
  });

  it("top-k keeps the k best", () => {
    const [a, b, c, d] = shares({ ...ALL, topK: 2 });
    expect([b, d]).toEqual([0, 0]);
    expect(a).toBeCloseTo(3 / 7, 1);
    expect(c).toBeCloseTo(4 / 7, 1);
  });

  it("top-p keeps the smallest set that reaches p", () => {
    expect(shares({ ...ALL, topP: 0.39 }, 500)).toEqual([0, 0, 1, 0]);
    expect(shares({ ...ALL, topP: 0.69 }, 500).map((share) => share > 0)).toEqual([true, false, true, false]);
    expect(shares({ ...ALL, topP: 0.71 }, 500).map((share) => share > 0)).toEqual([true, false, true, true]);
  });

  it("min-p keeps what weighs enough beside the best", () => {
    expect(shares({ ...ALL, minP: 0.6 }, 500).map((share) => share > 0)).toEqual([true, false, true, false]);
  });

  it("finds the same nucleus in a vocabulary larger than the first 64 ranked tokens", () => {
    const flat = new Float32Array(1000).fill(0);
    const source = new Sampler(resolveSampling({ ...ALL, topP: 0.3 }, 5), flat.length);
    let highest = 0;
    for (let i = 0; i < 5000; i++) highest = Math.max(highest, source.sample(flat));
    // 300 equal tokens reach 0.3; ties are kept by lowest id.
    expect(highest).toBe(299);
  });

  it("adds logit bias", () => {
    expect(sampler({ temperature: 0, logitBias: { 1: 10 } }).sample(LOGITS)).toBe(1);
    expect(sampler({ temperature: 0, logitBias: { 2: -100 } }).sample(LOGITS)).toBe(0);
  });

  it("repetition penalty sees the prompt, presence and frequency only what was generated", () => {
    const logits = Float32Array.of(2, 1.5, -1, -1.1);
    const repetition = new Sampler(resolveSampling({ temperature: 0, repetitionPenalty: 2 }, 1), 4);
    repetition.observePrompt([0]);
    expect(repetition.sample(logits)).toBe(1);
    const presence = new Sampler(resolveSampling({ temperature: 0, presencePenalty: 0.6 }, 1), 4);
    presence.observePrompt([0]);
    expect([presence.sample(logits), presence.sample(logits), presence.sample(logits)]).toEqual([0, 1, 0]);
    const frequency = new Sampler(resolveSampling({ temperature: 0, frequencyPenalty: 0.6 }, 1), 4);
    expect([0, 0, 0, 0].map(() => frequency.sample(logits))).toEqual([0, 1, 0, 1]);
    expect(Array.from(logits)).toEqual([2, 1.5, -1, Math.fround(-1.1)]);
  });
});
