/**
 * How tapes of steps and of training write activations,
 * rules of selection and floats (kernels/layout.ts has the codes).
 */
import * as layout from "../../kernels/layout.ts";
import type { SelectionRule } from "../../program/column-ops.ts";
import type { Activation } from "../../program/program.ts";

interface Coded {
  readonly code: number;
  /** The name of the kernel, for listings. */
  readonly kernel: string;
}

export const GATES: Readonly<Record<Activation["kind"], Coded>> = {
  silu: { code: layout.GATE_SILU, kernel: "glu_silu_f32" },
  gelu: { code: layout.GATE_GELU, kernel: "glu_gelu_f32" },
  geluTanh: { code: layout.GATE_GELU_TANH, kernel: "glu_gelu_tanh_f32" },
  relu: { code: layout.GATE_RELU, kernel: "glu_relu_f32" },
  fatrelu: { code: layout.GATE_FATRELU, kernel: "glu_fatrelu_f32" },
};

export const SELECTIONS: Readonly<Record<SelectionRule["kind"], Coded>> = {
  topK: { code: layout.SELECT_TOP, kernel: "select_top_f32" },
  threshold: { code: layout.SELECT_ABOVE, kernel: "select_above_f32" },
  gate: { code: layout.SELECT_GATES, kernel: "select_gates_f32" },
};

/** Code and threshold of an activation, two words. */
export function gateWords(activation: Activation): readonly [code: number, threshold: number] {
  const threshold = activation.kind === "fatrelu" ? activation.threshold : 0;
  return [GATES[activation.kind].code, floatWord(threshold)];
}

/** Count or threshold of a rule. */
export function limitWord(rule: SelectionRule): number {
  return rule.kind === "topK" ? rule.count : floatWord(rule.threshold);
}

/** An f32 as the word that carries it. */
export function floatWord(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}
