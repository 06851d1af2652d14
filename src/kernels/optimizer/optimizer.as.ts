// The optimizer on flat ranges of whole vectors: partial sums of squares for the gradient norm, and AdamW
// (reference.ts has the formula), which clears the gradients for the next micro-batch.
import { sumLanes } from "../lanes.as";
import {
  SCALAR_BETA1, SCALAR_BETA2, SCALAR_EPSILON, SCALAR_FIRST_CORRECTION, SCALAR_GRADIENT_SCALE, SCALAR_LEARNING_RATE,
  SCALAR_SECOND_CORRECTION, SCALAR_WEIGHT_DECAY,
} from "../training-layout";

/** Sum of squares of `bytes` bytes. */
export function square_sum_f32(values: usize, bytes: usize): f32 {
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(values + i);
    sums = f32x4.add(sums, f32x4.mul(v, v));
  }
  return sumLanes(sums);
}

// @ts-ignore: decorator
@inline function scalar(scalars: usize, index: i32): v128 { return v128.load32_splat(scalars + (<usize>index << 2)); }

/** One update of `bytes` bytes of weights; without `decays` the weight decay is left out. */
export function adamw_f32(
  weights: usize, gradients: usize, first: usize, second: usize, bytes: usize, scalars: usize, decays: bool,
): void {
  const one = f32x4.splat(1), scale = scalar(scalars, SCALAR_GRADIENT_SCALE), rate = scalar(scalars, SCALAR_LEARNING_RATE);
  const beta1 = scalar(scalars, SCALAR_BETA1), beta2 = scalar(scalars, SCALAR_BETA2);
  const rest1 = f32x4.sub(one, beta1), rest2 = f32x4.sub(one, beta2);
  const correction1 = scalar(scalars, SCALAR_FIRST_CORRECTION), correction2 = scalar(scalars, SCALAR_SECOND_CORRECTION);
  const epsilon = scalar(scalars, SCALAR_EPSILON);
  const decay = decays ? scalar(scalars, SCALAR_WEIGHT_DECAY) : f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const gradient = f32x4.mul(v128.load(gradients + i), scale);
    const m = f32x4.add(f32x4.mul(beta1, v128.load(first + i)), f32x4.mul(rest1, gradient));
    const v = f32x4.add(f32x4.mul(beta2, v128.load(second + i)), f32x4.mul(rest2, f32x4.mul(gradient, gradient)));
    const direction = f32x4.div(f32x4.mul(m, correction1), f32x4.add(f32x4.sqrt(f32x4.mul(v, correction2)), epsilon));
    const weight = v128.load(weights + i);
    v128.store(weights + i, f32x4.sub(weight, f32x4.mul(rate, f32x4.add(direction, f32x4.mul(decay, weight)))));
    v128.store(first + i, m);
    v128.store(second + i, v);
    v128.store(gradients + i, f32x4.splat(0));
  }
}
