// Gradient of the gated linear unit on one row of whole vectors: dGate = dy up activation'(gate), dUp = dy
// activation(gate). relu and fatrelu pass the gradient where they pass the value.
import { exp4 } from "../lanes.as";
import { GATE_FATRELU, GATE_GELU, GATE_GELU_TANH, GATE_RELU } from "../layout";
import { erf4, sigmoid } from "./glu.as";

// @ts-ignore: decorator
@inline function put(dGate: usize, dUp: usize, dy: v128, up: v128, value: v128, slope: v128): void {
  v128.store(dGate, f32x4.mul(f32x4.mul(dy, up), slope));
  v128.store(dUp, f32x4.mul(dy, value));
}

/** slope = s (1 + x (1 - s)) with s = sigmoid(x) */
function silu(gate: usize, up: usize, dy: usize, dGate: usize, dUp: usize, bytes: usize): void {
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(gate + i), s = sigmoid(x);
    const slope = f32x4.mul(s, f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s))));
    put(dGate + i, dUp + i, v128.load(dy + i), v128.load(up + i), f32x4.mul(x, s), slope);
  }
}

/** slope = Phi(x) + x phi(x) */
function gelu(gate: usize, up: usize, dy: usize, dGate: usize, dUp: usize, bytes: usize): void {
  const half = f32x4.splat(0.5);
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(gate + i);
    const phi = f32x4.mul(half, f32x4.add(f32x4.splat(1), erf4(f32x4.mul(x, f32x4.splat(0.70710678118654752)))));
    const density = f32x4.mul(f32x4.splat(0.39894228040143268), exp4(f32x4.neg(f32x4.mul(half, f32x4.mul(x, x)))));
    put(
      dGate + i, dUp + i, v128.load(dy + i), v128.load(up + i), f32x4.mul(x, phi), f32x4.add(phi, f32x4.mul(x, density)),
    );
  }
}

/** x sigmoid(u) with u = 2 sqrt(2 / pi) (x + 0.044715 x^3): slope = s + x s (1 - s) u' */
function geluTanh(gate: usize, up: usize, dy: usize, dGate: usize, dUp: usize, bytes: usize): void {
  const one = f32x4.splat(1), c = f32x4.splat(1.5957691216057308);
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(gate + i), square = f32x4.mul(x, x);
    const s = sigmoid(f32x4.mul(f32x4.mul(c, x), f32x4.add(one, f32x4.mul(f32x4.splat(0.044715), square))));
    const inner = f32x4.mul(c, f32x4.add(one, f32x4.mul(f32x4.splat(0.134145), square)));
    const slope = f32x4.mul(s, f32x4.add(one, f32x4.mul(f32x4.mul(x, f32x4.sub(one, s)), inner)));
    put(dGate + i, dUp + i, v128.load(dy + i), v128.load(up + i), f32x4.mul(x, s), slope);
  }
}

/** Where `strict`, only values above the threshold pass, else those at it too. */
function rectified(
  gate: usize, up: usize, dy: usize, dGate: usize, dUp: usize, bytes: usize, threshold: f32, strict: bool,
): void {
  const limit = f32x4.splat(threshold);
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(gate + i), passes = strict ? f32x4.gt(x, limit) : f32x4.ge(x, limit);
    put(
      dGate + i, dUp + i, v128.load(dy + i), v128.load(up + i), v128.and(x, passes), v128.and(f32x4.splat(1), passes),
    );
  }
}

/** One row; `kind` and `threshold` as in `glu_f32`. */
export function glu_gradient_f32(
  kind: i32, threshold: f32, gate: usize, up: usize, dy: usize, dGate: usize, dUp: usize, bytes: usize,
): void {
  if (kind == GATE_RELU) rectified(gate, up, dy, dGate, dUp, bytes, 0, true);
  else if (kind == GATE_FATRELU) rectified(gate, up, dy, dGate, dUp, bytes, threshold, false);
  else if (kind == GATE_GELU) gelu(gate, up, dy, dGate, dUp, bytes);
  else if (kind == GATE_GELU_TANH) geluTanh(gate, up, dy, dGate, dUp, bytes);
  else silu(gate, up, dy, dGate, dUp, bytes);
}
