/**
 * Case rows of selectOutputs: odd widths; the standard steps pick all rows, some,
 * one and none. Copies are exact.
 */
import type { Buffer } from "../../program/program.ts";
import { CaseBuilder, statelessSteps } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

export function selectOutputsCases(): readonly KernelCase[] {
  return [9, 33, 64].map(widthCase);
}

function widthCase(width: number): KernelCase {
  const builder = new CaseBuilder(`selectOutputs width ${width}`);
  const x = builder.input("x", builder.inputRows(width), width);
  const out: Buffer = { name: "out", width, rows: "outputs" };
  builder.test({ kind: "selectOutputs", x, out });
  return builder.finish(out, { kernel: oneKernel("select_outputs"), bound: 0, steps: statelessSteps() });
}
