/**
 * Case rows of rmsNorm: odd widths, groups of odd width, in place and not, rows of zeros and outliers.
 */
import { CaseBuilder, statelessSteps, tokenBuffer } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

/** f32 sums of up to a few hundred squares, one square root, two multiplications. */
const BOUND = 1e-6;

interface Shape {
  readonly width: number;
  readonly groups: number;
  readonly inPlace: boolean;
}

const SHAPES: readonly Shape[] = [
  { width: 1, groups: 1, inPlace: false },
  { width: 5, groups: 1, inPlace: true },
  { width: 64, groups: 1, inPlace: false },
  { width: 67, groups: 1, inPlace: false },
  { width: 300, groups: 1, inPlace: true },
  { width: 64, groups: 4, inPlace: true },
  { width: 63, groups: 7, inPlace: false },
  { width: 30, groups: 3, inPlace: true },
];

export function rmsNormCases(): readonly KernelCase[] {
  return SHAPES.map((shape) => shapeCase(shape));
}

function shapeCase({ width, groups, inPlace }: Shape): KernelCase {
  const builder = new CaseBuilder(`rmsNorm width ${width}, groups ${groups}${inPlace ? ", in place" : ""}`);
  const x = builder.input("x", builder.inputRows(width), width);
  const weight = builder.vector("weight", builder.random("weight", width / groups));
  const out = inPlace ? x : tokenBuffer("out", width);
  builder.test({ kind: "rmsNorm", x, weight, out, epsilon: 1e-5, groups });
  return builder.finish(out, { kernel: oneKernel("rms_norm_f32"), bound: BOUND, steps: statelessSteps() });
}
