import { describe, expect, it } from "vitest";
import { mulberry32 } from "../../models/synthetic/random.ts";
import { drawProblem, hashText, levelOf, solve, splitOf } from "./arithmetic.ts";

function draw(level: number, seed: number) {
  const problem = drawProblem(levelOf(level), mulberry32(seed));
  if (problem === undefined) throw new Error("no problem within the bounds");
  return problem;
}

it("mulberry32 gives its published numbers", () => {
  const take = (seed: number) => Array.from({ length: 3 }, mulberry32(seed));
  expect(take(1)).toEqual([2693262067, 11749833, 2265367787]);
  expect(take(42)).toEqual([2581720956, 1925393290, 3661312704]);
});

describe("problems", () => {
  it.each([
    [1, 1, 2, "9-(2+4)", 3, 2844271605, 5],
    [1, 2, 1, "3-(6-5)", 2, 4031360404, 4],
    [2, 1, 3, "14+(((20-5)+16)-4)", 41, 3903017237, 37],
    [2, 2, 1, "(18+13)*(16-(5+9))", 62, 3301543527, 27],
    [3, 1, 8, "(41+(((47+4)+6)+(3+27)))-((50+49)-1)", 30, 3525373783, 83],
    [3, 2, 21, "(((10*1)*(21+37))-((47+(36+7))+6))+37", 521, 3924913388, 88],
  ])("level %i seed %i", (level, seed, draws, text, value, hash, bucket) => {
    expect(draw(level, seed)).toMatchObject({ draws, text, value });
    expect(hashText(text)).toBe(hash);
    expect(hash % 100).toBe(bucket);
    expect(splitOf(text)).toBe("train");
  });

  it("are split by their text", () => {
    const buckets = { train: 0, valid: 0, test: 0 };
    for (let i = 0; i < 20_000; i++) buckets[splitOf(String(i))]++;
    expect(buckets.train / 20_000).toBeCloseTo(0.9, 2);
    expect(buckets.valid / 20_000).toBeCloseTo(0.05, 2);
  });
});

describe("solutions", () => {
  it("name exactly their operands", () => {
    expect(solve(draw(2, 1), false)).toEqual([
      { header: "1:20-5", body: "20-5=15", references: [] },
      { header: "2:@1+16", body: "15+16=31", references: [1] },
      { header: "3:@2-4", body: "31-4=27", references: [2] },
      { header: "4:14+@3", body: "14+27=41", references: [3] },
      { header: "ans:@4", body: "41", references: [4] },
    ]);
  });

  it("write long products by digits", () => {
    const body = (left: number, right: number) =>
      solve({ expression: { op: "*", left, right }, text: "", value: left * right, draws: 1 }, true)[0].body;
    expect(body(47, 36)).toBe("47*36:47*6=282;47*30=1410;282+1410=1692");
    expect(body(47, 30)).toBe("47*30=1410");
    expect(body(7, 36)).toBe("7*36=252");
    expect(body(12, 345)).toBe("12*345:12*5=60;12*40=480;12*300=3600;60+480=540;540+3600=4140");
  });
});
