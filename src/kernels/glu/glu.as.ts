// Gated linear unit on columns of one row: out = activation(gate) * up.
// Counts are whole vectors: rows are padded.
import { exp4 } from "../lanes.as";
import { GATE_FATRELU, GATE_GELU, GATE_GELU_TANH, GATE_RELU } from "../layout";

// @ts-ignore: decorator
@inline export function sigmoid(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

/** erf by Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7. */
// @ts-ignore: decorator
@inline export function erf4(x: v128): v128 {
  const a = f32x4.abs(x);
  const t = f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), f32x4.mul(f32x4.splat(0.3275911), a)));
  let p = f32x4.splat(1.061405429);
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-1.453152027));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.421413741));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-0.284496736));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.254829592));
  const e = f32x4.sub(f32x4.splat(1), f32x4.mul(f32x4.mul(p, t), exp4(f32x4.neg(f32x4.mul(a, a)))));
  return v128.or(e, v128.and(x, i32x4.splat(0x80000000)));
}

/** x * sigmoid(x) */
function glu_silu_f32(gate: usize, up: usize, out: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    v128.store(out + i, f32x4.mul(f32x4.mul(g, sigmoid(g)), v128.load(up + i)));
  }
}

/** x * (1 + erf(x / sqrt 2)) / 2 */
function glu_gelu_f32(gate: usize, up: usize, out: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    const phi = f32x4.mul(f32x4.splat(0.5), f32x4.add(f32x4.splat(1), erf4(f32x4.mul(g, f32x4.splat(0.70710678118654752)))));
    v128.store(out + i, f32x4.mul(f32x4.mul(g, phi), v128.load(up + i)));
  }
}

/** x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, written as x * sigmoid of twice the argument. */
function glu_gelu_tanh_f32(gate: usize, up: usize, out: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    const cubic = f32x4.mul(g, f32x4.add(f32x4.splat(1), f32x4.mul(f32x4.splat(0.044715), f32x4.mul(g, g))));
    v128.store(out + i, f32x4.mul(f32x4.mul(g, sigmoid(f32x4.mul(f32x4.splat(1.5957691216057308), cubic))), v128.load(up + i)));
  }
}

/** x unless x <= 0; NaN stays visible. */
function glu_relu_f32(gate: usize, up: usize, out: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    v128.store(out + i, f32x4.mul(v128.andnot(g, f32x4.le(g, f32x4.splat(0))), v128.load(up + i)));
  }
}

/** x unless x < threshold; NaN stays visible. */
function glu_fatrelu_f32(gate: usize, up: usize, out: usize, bytes: usize, threshold: f32): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    v128.store(out + i, f32x4.mul(v128.andnot(g, f32x4.lt(g, f32x4.splat(threshold))), v128.load(up + i)));
  }
}

/** One row; `kind` is one of the GATE constants, and `threshold` that of fatrelu. */
export function glu_f32(kind: i32, threshold: f32, gate: usize, up: usize, out: usize, bytes: usize): void {
  if (kind == GATE_RELU) glu_relu_f32(gate, up, out, bytes);
  else if (kind == GATE_FATRELU) glu_fatrelu_f32(gate, up, out, bytes, threshold);
  else if (kind == GATE_GELU) glu_gelu_f32(gate, up, out, bytes);
  else if (kind == GATE_GELU_TANH) glu_gelu_tanh_f32(gate, up, out, bytes);
  else glu_silu_f32(gate, up, out, bytes);
}
