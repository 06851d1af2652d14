import { expect, it } from "vitest";
import { uniformGenerator } from "./random.ts";

it("uniform numbers are mulberry32's published ones over 2^32", () => {
  const uniform = Array.from({ length: 3 }, uniformGenerator(1));
  expect(uniform.map((value) => value * 2 ** 32)).toEqual([2693262067, 11749833, 2265367787]);
});
