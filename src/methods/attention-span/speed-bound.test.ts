import { expect, it } from "vitest";
import { speedBound } from "./speed-bound.ts";

it.each([
  [1, 2048, 0.5, 1.038],
  [1, 2048, 0, 1.08],
  [16, 2048, 0.5, 1.389],
  [16, 2048, 0.25, 1.725],
  [32, 2048, 0.5, 1.56],
  [1, 32_768, 0.25, 1.725],
])(
  "%i sequences of %i positions of Llama-2-7B in f16, share %f",
  (sequences, context, visibleShare, bound) => {
    const facts = { weightBytes: 13.477e9, positionBytes: 524_288, sequences, context, visibleShare };
    expect(speedBound(facts)).toBeCloseTo(bound, 3);
  },
);
