/**
 * Blocks that decoder-only transformers share, emitted op by op: rotary attention over the cache, gated
 * feed-forward, the head. Families compose them; no block asks which family it serves.
 *
 * Shapes: T tokens, R output rows, D width, F feed-forward, H query heads, K key/value heads, d head width, V
 * vocabulary. Buffers are named by role and shared by all layers: hidden [T, D] is the residual stream.
 */
import type { ProgramBuilder } from "../program/builder.ts";
import type { Activation, Buffer, RotaryTable, Weight } from "../program/program.ts";
import type { HyperParameters } from "./hyper-parameters.ts";
import type { BiasRule, WeightTable } from "./weight-table.ts";

/** query [T, H d], key and value [T, K d] before rotation. */
export interface QueryKeyValue {
  readonly query: Buffer;
  readonly key: Buffer;
  readonly value: Buffer;
}

/** A matrix and, where the checkpoint has one, its bias. */
export interface Projection {
  readonly weight: Weight;
  readonly bias: Weight | undefined;
}

/** Embedding lookup; returns hidden [T, D]. */
export function emitEmbedding(
  builder: ProgramBuilder,
  weights: WeightTable,
  parameters: HyperParameters,
  factor = 1,
): Buffer {
  const table = weights.matrix("embedding", parameters.vocabularySize, parameters.width);
  return builder.embed(table, "hidden", factor);
}

/** Separate query, key and value projections of x [T, D]. */
export function emitQueryKeyValue(
  builder: ProgramBuilder,
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
  x: Buffer,
  bias: BiasRule,
): QueryKeyValue {
  const { width, heads, kvHeads, headWidth } = parameters;
  const project = (key: "attention.query" | "attention.key" | "attention.value", rows: number, out: string) =>
    builder.linear(
      x,
      weights.layerMatrix(layer, key, rows, width),
      weights.layerBias(layer, key, rows, bias),
      out,
    );
  return {
    query: project("attention.query", heads * headWidth, "query"), // [T, H d]
    key: project("attention.key", kvHeads * headWidth, "key"), // [T, K d]
    value: project("attention.value", kvHeads * headWidth, "value"), // [T, K d]
  };
}

/** Rotates query and key, stores key and value, attends; result attended [T, H d]. */
export function emitAttention(
  builder: ProgramBuilder,
  parameters: HyperParameters,
  layer: number,
  { query, key, value }: QueryKeyValue,
  rotary: RotaryTable,
): Buffer {
  const { heads, kvHeads, headWidth } = parameters;
  const cache = { name: `layers.${layer}.cache`, kvHeads, headWidth };
  builder.rope(query, heads, rotary);
  builder.rope(key, kvHeads, rotary);
  builder.storeKeyValue(key, value, cache);
  const options = { heads, scale: 1 / Math.sqrt(headWidth), window: parameters.windows[layer] };
  return builder.attention(query, cache, options, "attended");
}

/** hidden += factor * (x W^T + b); x is [T, H d] or [T, F]. */
export function emitResidual(
  builder: ProgramBuilder,
  hidden: Buffer,
  x: Buffer,
  { weight, bias }: Projection,
  factor = 1,
): void {
  builder.accumulate(hidden, builder.linear(x, weight, bias, "projected"), factor);
}

/** The attention output projection [D, H d]. */
export function outputProjection(
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
  bias: BiasRule,
): Projection {
  const { width, heads, headWidth } = parameters;
  return {
    weight: weights.layerMatrix(layer, "attention.output", width, heads * headWidth),
    bias: weights.layerBias(layer, "attention.output", width, bias),
  };
}

/** The feed-forward down projection [D, F]. */
export function downProjection(
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
  bias: BiasRule,
): Projection {
  const { width, feedForwardWidth } = parameters;
  return {
    weight: weights.layerMatrix(layer, "feedForward.down", width, feedForwardWidth),
    bias: weights.layerBias(layer, "feedForward.down", width, bias),
  };
}

/** activation(gate x) * (up x), each [T, F]. */
export function emitGatedUnit(
  builder: ProgramBuilder,
  x: Buffer,
  gate: Projection,
  up: Projection,
  activation: Activation,
): Buffer {
  const gated = builder.linear(x, gate.weight, gate.bias, "gate"); // [T, F]
  const lifted = builder.linear(x, up.weight, up.bias, "up"); // [T, F]
  return builder.glu(gated, lifted, activation);
}

/** Separate gate and up projections [F, D]. */
export function gateAndUp(
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
  bias: BiasRule,
): { readonly gate: Projection; readonly up: Projection } {
  const { width, feedForwardWidth } = parameters;
  const projection = (key: "feedForward.gate" | "feedForward.up"): Projection => ({
    weight: weights.layerMatrix(layer, key, feedForwardWidth, width),
    bias: weights.layerBias(layer, key, feedForwardWidth, bias),
  });
  return { gate: projection("feedForward.gate"), up: projection("feedForward.up") };
}

/** RMSNorm of hidden with one of a layer's two norms; result normed [T, D]. */
export function emitLayerNorm(
  builder: ProgramBuilder,
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
  key: "attention.norm" | "feedForward.norm",
  hidden: Buffer,
): Buffer {
  const weight = weights.layerVector(layer, key, parameters.width);
  return builder.rmsNorm(hidden, weight, parameters.normEpsilon, "normed");
}

/** Output rows only: final norm, factor, head; result logits [R, V]. */
export function emitHead(
  builder: ProgramBuilder,
  weights: WeightTable,
  parameters: HyperParameters,
  hidden: Buffer,
  factor = 1,
): Buffer {
  const { width, vocabularySize, tiedHead, normEpsilon } = parameters;
  const selected = builder.selectOutputs(hidden, "selected"); // [R, D]
  const normed = builder.rmsNorm(selected, weights.vector("finalNorm", width), normEpsilon, "selected");
  builder.scale(normed, factor);
  return builder.linear(normed, weights.head(tiedHead, vocabularySize, width), undefined, "logits");
}
