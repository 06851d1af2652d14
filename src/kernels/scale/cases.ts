/**
 * Case rows of scale: odd widths, factors of both signs, in place and not.
 */
import { CaseBuilder, statelessSteps, tokenBuffer } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

/** One f32 multiplication by a factor rounded to f32. */
const BOUND = 2e-7;

export function scaleCases(): readonly KernelCase[] {
  return [
    shapeCase(1, 0.1, true),
    shapeCase(37, -12, false),
    shapeCase(64, 0, true),
    shapeCase(67, 1 / 3, true),
  ];
}

function shapeCase(width: number, factor: number, inPlace: boolean): KernelCase {
  const builder = new CaseBuilder(`scale width ${width}, factor ${factor}${inPlace ? ", in place" : ""}`);
  const x = builder.input("x", builder.inputRows(width), width);
  const out = inPlace ? x : tokenBuffer("out", width);
  builder.test({ kind: "scale", x, out, factor });
  return builder.finish(out, { kernel: oneKernel("scale_f32"), bound: BOUND, steps: statelessSteps() });
}
