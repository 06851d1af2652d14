/**
 * Case rows of glu and activate: every activation over its whole range of inputs, odd widths, the result in
 * its own buffer or in either operand's.
 */
import type { Activation } from "../../program/program.ts";
import { CaseBuilder, INPUT_COUNT, statelessSteps, tokenBuffer } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

/** exp and erf approximations in f32. */
const BOUND = 1e-6;

const ACTIVATIONS: readonly (readonly [Activation, string])[] = [
  [{ kind: "silu" }, "glu_silu_f32"],
  [{ kind: "gelu" }, "glu_gelu_f32"],
  [{ kind: "geluTanh" }, "glu_gelu_tanh_f32"],
  [{ kind: "relu" }, "glu_relu_f32"],
  [{ kind: "fatrelu", threshold: 0.01 }, "glu_fatrelu_f32"],
];

export function gluCases(): readonly KernelCase[] {
  return ACTIVATIONS.flatMap(([activation, kernel]) => [
    shapeCase(activation, kernel, 37, "own"),
    shapeCase(activation, kernel, 64, "gate"),
    shapeCase(activation, kernel, 1, "up"),
    rangeCase(activation, kernel),
    activateCase(activation, kernel, 37),
    activateCase(activation, kernel, 3),
  ]);
}

function shapeCase(
  activation: Activation,
  kernel: string,
  width: number,
  into: "own" | "gate" | "up",
): KernelCase {
  const builder = new CaseBuilder(`glu ${activation.kind} width ${width}, into ${into}`);
  const rows = (name: string) => builder.inputRows(width, { prefix: `${name}/` });
  const gate = builder.input("gate", rows("gate"), width);
  const up = builder.input("up", rows("up"), width);
  const out = { own: tokenBuffer("out", width), gate, up }[into];
  builder.test({ kind: "glu", gate, up, out, activation });
  return builder.finish(out, { kernel: oneKernel(kernel), bound: BOUND, steps: statelessSteps() });
}

function activateCase(activation: Activation, kernel: string, width: number): KernelCase {
  const builder = new CaseBuilder(`activate ${activation.kind} width ${width}`);
  const x = builder.input("x", builder.inputRows(width), width);
  const out = tokenBuffer("out", width);
  builder.test({ kind: "activate", x, out, activation });
  return builder.finish(out, { kernel: oneKernel(kernel), bound: BOUND, steps: statelessSteps() });
}

/**
 * Gates of one size per row, from vanishing to where exp overflows, so that small results are not hidden
 * behind large ones; the fourth row straddles the threshold in single steps of f32.
 */
function rangeCase(activation: Activation, kernel: string): KernelCase {
  const width = 24;
  const builder = new CaseBuilder(`glu ${activation.kind} over the range of exp`);
  const threshold = new Float32Array([0.01]);
  const bits = new Int32Array(threshold.buffer)[0];
  const near = new Float32Array(new Int32Array(width).map((_, i) => bits + i - 12).buffer);
  const sizes = [1e-30, 1e-4, 0.5, 0, 3, 12, 95, 3e4];
  const gate = new Float32Array(INPUT_COUNT * width);
  sizes.forEach((size, row) => {
    for (let i = 0; i < width; i++) {
      // Positive gates only where negative ones vanish: silu(-95) is far below the row's largest.
      gate[row * width + i] = size * (0.5 + i / width) * (i % 2 === 0 ? 1 : -1);
    }
  });
  gate.set(near, 3 * width);
  const up = new Float32Array(INPUT_COUNT * width).fill(1);
  const [gateBuffer, upBuffer] = [builder.input("gate", gate, width), builder.input("up", up, width)];
  const out = tokenBuffer("out", width);
  builder.test({ kind: "glu", gate: gateBuffer, up: upBuffer, out, activation });
  return builder.finish(out, { kernel: oneKernel(kernel), bound: BOUND, steps: statelessSteps() });
}
