/**
 * What reference kernels compute on: f32 as the engine stores activations,
 * or f64 where a test wants more digits (finite differences).
 */
export type Values = Float32Array | Float64Array;
