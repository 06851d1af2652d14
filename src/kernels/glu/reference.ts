/**
 * glu: gated linear unit, activation(gate) * up (arXiv 2002.05202), with every activation kind of the
 * contract. Activations in f64. out may be gate or up. The oracle for all other glu kernels.
 */
import type { Values } from "../values.ts";
import type { Activation } from "../../program/program.ts";

/** out[i] = activation(gate[i]) * up[i] for i < count. */
export function glu(out: Values, gate: Values, up: Values, count: number, activation: Activation): void {
  for (let i = 0; i < count; i++) {
    out[i] = activate(gate[i], activation) * up[i];
  }
}

/** out[i] = activation(x[i]) for i < count. */
export function activateAll(out: Values, x: Values, count: number, activation: Activation): void {
  for (let i = 0; i < count; i++) out[i] = activate(x[i], activation);
}

/** The activation of one f32 value. */
export function activate(x: number, activation: Activation): number {
  switch (activation.kind) {
    case "silu":
      return x / (1 + Math.exp(-x));
    case "gelu":
      return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
    case "geluTanh":
      return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
    case "relu":
      return Math.max(x, 0);
    case "fatrelu":
      // Compared in f32, where thresholds live: 0.01 as f64 lies above 0.01 as f32.
      return x >= Math.fround(activation.threshold) ? x : 0;
  }
}

/**
 * Error function to f64 accuracy: the everywhere convergent series erf(x) = 2/sqrt(pi) exp(-x^2) sum of 2^n
 * x^(2n+1) / (2n+1)!! (Abramowitz and Stegun 7.1.6), whose terms are all positive; beyond 6 it is 1 in f64.
 */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  if (magnitude >= 6) {
    return Math.sign(x);
  }
  let term = magnitude;
  let sum = magnitude;
  for (let n = 1; term > sum * Number.EPSILON; n++) {
    term *= (2 * magnitude * magnitude) / (2 * n + 1);
    sum += term;
  }
  return (Math.sign(x) * 2 * Math.exp(-magnitude * magnitude) * sum) / Math.sqrt(Math.PI);
}
