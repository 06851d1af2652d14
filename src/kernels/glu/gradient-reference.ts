/**
 * Gradient of glu (out = activation(gate) * up), in f64. Cut-offs are constants to the gradient: relu and
 * fatrelu pass it where they pass the value, at the kink as the value does.
 */
import type { Activation } from "../../program/program.ts";
import type { Values } from "../values.ts";
import { activate, erf } from "./reference.ts";

/** dGate[i] = dy[i] up[i] activation'(gate[i]), dUp[i] = dy[i] activation(gate[i]) for i < count. */
export function gluGradient(
  dGate: Values,
  dUp: Values,
  dy: Values,
  gate: Values,
  up: Values,
  count: number,
  activation: Activation,
): void {
  for (let i = 0; i < count; i++) {
    dGate[i] = dy[i] * up[i] * slope(gate[i], activation);
    dUp[i] = dy[i] * activate(gate[i], activation);
  }
}

/** The derivative of the activation. */
export function slope(x: number, activation: Activation): number {
  switch (activation.kind) {
    case "silu": {
      const sigmoid = 1 / (1 + Math.exp(-x));
      return sigmoid * (1 + x * (1 - sigmoid));
    }
    case "gelu":
      return 0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
    case "geluTanh": {
      const c = Math.sqrt(2 / Math.PI);
      const tanh = Math.tanh(c * (x + 0.044715 * x ** 3));
      return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * c * (1 + 3 * 0.044715 * x * x);
    }
    case "relu":
      return x > 0 ? 1 : 0;
    case "fatrelu":
      return x >= Math.fround(activation.threshold) ? 1 : 0;
  }
}
