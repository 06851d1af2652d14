/**
 * Case rows of rope: both pairings, whole and partial rotary widths, odd numbers of pairs,
 * far positions, a magnitude.
 */
import type { RotaryTable } from "../../program/program.ts";
import { CaseBuilder, statelessSteps } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

/** Angles are f64 on both sides; sine and cosine are rounded to f32, then two products and a sum. */
const BOUND = 5e-7;

const SHAPES = [
  { heads: 1, headWidth: 4, pairs: 2 },
  { heads: 3, headWidth: 6, pairs: 3 },
  { heads: 4, headWidth: 16, pairs: 8 },
  { heads: 2, headWidth: 64, pairs: 32 },
  { heads: 5, headWidth: 80, pairs: 16 },
  { heads: 2, headWidth: 128, pairs: 60 },
  { heads: 3, headWidth: 10, pairs: 1 },
] as const;

export function ropeCases(): readonly KernelCase[] {
  return (["halves", "interleaved"] as const).flatMap((pairing) =>
    SHAPES.map((shape) => shapeCase(shape, pairing)),
  );
}

function shapeCase(
  { heads, headWidth, pairs }: (typeof SHAPES)[number],
  pairing: RotaryTable["pairing"],
): KernelCase {
  const builder = new CaseBuilder(`rope ${pairing}, ${heads} heads of ${headWidth}, ${pairs} pairs`);
  const width = heads * headWidth;
  const x = builder.input("x", builder.inputRows(width), width);
  const inverseFrequencies = Array.from({ length: pairs }, (_, i) => 10000 ** (-i / pairs));
  const table: RotaryTable = { name: "rotary", inverseFrequencies, magnitude: 1.19, pairing };
  builder.test({ kind: "rope", x, heads, headWidth, table });
  const steps = statelessSteps(undefined, (row) => (row * 131) % 4099);
  return builder.finish(x, { kernel: oneKernel(`rope_f32_${pairing}`), bound: BOUND, steps });
}
