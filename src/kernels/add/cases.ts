/**
 * Case rows of add: odd widths, factors, the result in its own buffer or in the first operand's.
 */
import { CaseBuilder, statelessSteps, tokenBuffer } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

/** One f32 multiplication and one addition. */
const BOUND = 2e-7;

export function addCases(): readonly KernelCase[] {
  return [
    shapeCase(1, 1, false),
    shapeCase(37, -0.3, false),
    shapeCase(64, 1, true),
    shapeCase(67, 2.5, true),
  ];
}

function shapeCase(width: number, factor: number, inPlace: boolean): KernelCase {
  const builder = new CaseBuilder(`add width ${width}, factor ${factor}${inPlace ? ", in place" : ""}`);
  const rows = (name: string) => builder.inputRows(width, { prefix: `${name}/` });
  const a = builder.input("a", rows("a"), width);
  const b = builder.input("b", rows("b"), width);
  const out = inPlace ? a : tokenBuffer("out", width);
  builder.test({ kind: "add", a, b, out, factor });
  return builder.finish(out, { kernel: oneKernel("add_f32"), bound: BOUND, steps: statelessSteps() });
}
