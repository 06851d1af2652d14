/**
 * A model as a short program: a flat list of ops over named buffers. Families emit one, methods rewrite it,
 * executors run it. Nothing here knows how weights are stored or on what the program runs.
 *
 * Shape legend: T tokens in a step, R rows of a step that want logits (R <= T), D model width, F feed-forward
 * width, H query heads, K key/value heads, d head width, V vocabulary. Activations are f32, row-major.
 * Invariant: every buffer is written before it is read, and no op reads and writes the same buffer unless its
 * comment says "in place".
 */
import type { ColumnOp } from "./column-ops.ts";
import type { AttentionCodes } from "./tender-attention.ts";
import type { TenderLinearOp } from "./tender-linear.ts";

export type { AttentionCodes } from "./tender-attention.ts";
export type { ActivationQuantizer, StaticQuantizer, TenderLinearOp } from "./tender-linear.ts";

/** An activation [T or R, width]. */
export interface Buffer {
  readonly name: string;
  readonly width: number;
  readonly rows: "tokens" | "outputs";
}

/** A matrix [rows, columns] or a vector (rows = 1) of the checkpoint, or a range of rows of a fused one. */
export interface Weight {
  /** Unique within the program, e.g. `layers.0.attention.query`. */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Name of the tensor in the checkpoint. */
  readonly tensor: string;
  /** First row of this weight inside the tensor; non-zero for the later parts of fused matrices. */
  readonly firstRow: number;
}

/** One layer's keys and values: per sequence slot [contextLength, K, d] each. */
export interface KeyValueCache {
  readonly name: string;
  readonly kvHeads: number;
  readonly headWidth: number;
}

/**
 * Rotary position embedding as data: angle(position, i) = position * inverseFrequencies[i]; cos and sin are
 * multiplied by `magnitude`. All RoPE scalings (linear, llama3, YaRN, longrope) end up as such a table.
 */
export interface RotaryTable {
  readonly name: string;
  /** Length d_rotary / 2. */
  readonly inverseFrequencies: readonly number[];
  readonly magnitude: number;
  /** Which elements of a head form a pair: (i, i + d_rotary/2), or (2i, 2i + 1). */
  readonly pairing: "halves" | "interleaved";
}

export type Activation =
  | { readonly kind: "silu" }
  /** Exact erf form. */
  | { readonly kind: "gelu" }
  /** tanh approximation, `gelu_pytorch_tanh`. */
  | { readonly kind: "geluTanh" }
  | { readonly kind: "relu" }
  /** x if x >= threshold else 0, compared in f32 (ProSparse paper, section on thresholds). */
  | { readonly kind: "fatrelu"; readonly threshold: number };

/** out[t] = factor * table[token[t]] */
export interface EmbedOp {
  readonly kind: "embed";
  readonly table: Weight;
  readonly out: Buffer;
  readonly factor: number;
}

/**
 * out = x / sqrt(mean(x^2) + epsilon) * weight, over `groups` equal parts of a row independently; the weight
 * has width / groups entries and is shared by the groups (groups > 1: per-head norms). In place allowed.
 */
export interface RmsNormOp {
  readonly kind: "rmsNorm";
  readonly x: Buffer;
  readonly weight: Weight;
  readonly out: Buffer;
  readonly epsilon: number;
  readonly groups: number;
}

/** out[t, n] = sum_k x[t, k] * weight[n, k] + bias[n] */
export interface LinearOp {
  readonly kind: "linear";
  readonly x: Buffer;
  readonly weight: Weight;
  readonly bias: Weight | undefined;
  readonly out: Buffer;
}

/**
 * Rotates the first 2 * inverseFrequencies.length elements of each head by the token's position, in place.
 */
export interface RopeOp {
  readonly kind: "rope";
  readonly x: Buffer;
  readonly heads: number;
  readonly headWidth: number;
  readonly table: RotaryTable;
}

/** cache[slot[t], position[t]] = (key[t], value[t]), both [T, K * d] */
export interface StoreKeyValueOp {
  readonly kind: "storeKeyValue";
  readonly key: Buffer;
  readonly value: Buffer;
  readonly cache: KeyValueCache;
}

/**
 * Causal grouped-query attention of query [T, H * d] over the token's own slot: positions p with
 * max(0, position[t] - window + 1) <= p <= position[t]; window undefined means all of them.
 */
export interface AttentionOp {
  readonly kind: "attention";
  readonly query: Buffer;
  readonly cache: KeyValueCache;
  readonly out: Buffer;
  readonly heads: number;
  /** Multiplies the scores, usually 1 / sqrt(d). */
  readonly scale: number;
  readonly window: number | undefined;
  /** Both products of integers instead of floats; undefined for floats. */
  readonly codes?: AttentionCodes | undefined;
}

/** out = activation(gate) * up; out may be gate or up. */
export interface GluOp {
  readonly kind: "glu";
  readonly gate: Buffer;
  readonly up: Buffer;
  readonly out: Buffer;
  readonly activation: Activation;
}

/** out = activation(x): what a choice of neurons by their gates compares. */
export interface ActivateOp {
  readonly kind: "activate";
  readonly x: Buffer;
  readonly out: Buffer;
  readonly activation: Activation;
}

/** out = a + factor * b; out may be a. */
export interface AddOp {
  readonly kind: "add";
  readonly a: Buffer;
  readonly b: Buffer;
  readonly out: Buffer;
  readonly factor: number;
}

/** out = factor * x; in place allowed. */
export interface ScaleOp {
  readonly kind: "scale";
  readonly x: Buffer;
  readonly out: Buffer;
  readonly factor: number;
}

/** out[r] = x[outputs[r]]: from T rows to the R rows that want logits. */
export interface SelectOutputsOp {
  readonly kind: "selectOutputs";
  readonly x: Buffer;
  readonly out: Buffer;
}

export type Op =
  | ColumnOp
  | EmbedOp
  | RmsNormOp
  | LinearOp
  | TenderLinearOp
  | RopeOp
  | StoreKeyValueOp
  | AttentionOp
  | GluOp
  | ActivateOp
  | AddOp
  | ScaleOp
  | SelectOutputsOp;

export interface Program {
  /** Model name for printing. */
  readonly name: string;
  readonly ops: readonly Op[];
  /** [R, V], the last op's result. */
  readonly logits: Buffer;
  readonly vocabularySize: number;
  /** Longest context the checkpoint states. */
  readonly contextLength: number;
}
