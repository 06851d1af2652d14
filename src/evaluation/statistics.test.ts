import { expect, it } from "vitest";
import { summarize } from "./statistics.ts";

it("summarizes by mean, sample deviation and median", () => {
  expect(summarize([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ mean: 5, stdev: Math.sqrt(32 / 7), median: 4.5 });
  expect(summarize([3, 1, 2]).median).toBe(2);
  expect(summarize([7])).toEqual({ mean: 7, stdev: 0, median: 7 });
});
