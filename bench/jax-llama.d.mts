/** Types of jax-llama.mjs, for the test of gradients. */
export interface JaxShape {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabularySize: number;
  readonly activation: "silu" | "relu";
}

/** An array of jax-js; only passed on. */
export type JaxArray = object;

export interface JaxStep {
  array(values: Float32Array, dimensions: readonly number[]): JaxArray;
  run(
    weights: Readonly<Record<string, JaxArray>>,
    tokens: Int32Array,
    targets: Int32Array,
  ): Promise<{ readonly loss: number; readonly gradients: Readonly<Record<string, Float32Array>> }>;
}

export function createJaxStep(shape: JaxShape, sequences: number, length: number): Promise<JaxStep>;
