/**
 * The tables that make attention's products integers: channel groups of queries per head, biases of queries and keys, one
 * scale per channel of values. Scores need none: their groups are found per row.
 * Source: Tender (arXiv 2406.12930), "all"; the released code also groups scores over source positions, statically, which
 * has no answer for positions beyond the calibration.
 * Invariant: one table serves all positions, so the ranges of row chunks are taken together.
 */
import { FormatError } from "../../errors.ts";
import { type ComputedTensor, vectorTensor } from "../../formats/overlay-file.ts";
import type { AttentionCodes, AttentionOp, Buffer, Program } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { i8 } from "../../quantization/i8.ts";
import type { Calibration, ChunkStatistics } from "./calibration.ts";
import { codeLimit, maxGroups } from "./codes.ts";
import {
  type ChannelRange,
  channelExponents,
  channelMagnitudes,
  groupChannels,
  mergeGroups,
} from "./grouping.ts";
import { attentionTensors, type TenderAttention } from "./recipe.ts";
import { expectVector, type TensorTable } from "./rewrite-tensors.ts";

/** Groups of scores: unsigned codes of 8 and 4 bits, shifted, stay below 2^15. */
const SCORE_GROUPS = { 8: 8, 4: 12 } as const;

/** What attention reads, as calibration names it. */
export function attentionInputs({ cache }: Pick<AttentionOp, "cache">) {
  return { query: `query of ${cache.name}`, key: `key of ${cache.name}`, value: `value of ${cache.name}` };
}

/** A copy of an operand of attention that survives the step. */
export interface ObservedOperand {
  readonly name: string;
  readonly copy: Buffer;
}

export interface AttentionSettings {
  readonly bits: 4 | 8;
  readonly groups: number;
  readonly rounding: "up" | "down";
  readonly channelBias: boolean;
}

/** Tables of every attention op of the program, and what the recipe says about them. */
export function codeAttention(
  program: Program,
  calibration: Calibration,
  settings: AttentionSettings,
): { readonly recipe: readonly TenderAttention[]; readonly tensors: readonly ComputedTensor[] } {
  const ops = program.ops.filter((op): op is AttentionOp => op.kind === "attention");
  const made = ops.map((op) => codeOne(op, calibration, settings));
  return { recipe: made.map(({ recipe }) => recipe), tensors: made.flatMap(({ tensors }) => tensors) };
}

function codeOne(
  op: AttentionOp,
  calibration: Calibration,
  { bits, groups, rounding, channelBias }: AttentionSettings,
): { readonly recipe: TenderAttention; readonly tensors: readonly ComputedTensor[] } {
  const { heads, cache } = op;
  const { headWidth } = cache;
  const names = attentionInputs(op);
  const [query, key, value] = [names.query, names.key, names.value].map((name) =>
    together(calibration, name),
  );
  const limit = codeLimit(bits);
  const biasOf = ({ bias }: ChunkStatistics) =>
    channelBias ? Float32Array.from(bias) : new Float32Array(bias.length);
  const queryBias = biasOf(query);
  const magnitudes = channelMagnitudes(query.range, Float64Array.from(queryBias));
  const channels = Array.from({ length: heads }, (_, head) => {
    const own = magnitudes.subarray(head * headWidth, (head + 1) * headWidth);
    const grouped = groupChannels(own, Math.min(groups, maxGroups(bits)), limit, rounding);
    return mergeGroups(grouped, Math.max(...grouped.group));
  });
  const tensors = attentionTensors(cache.name);
  const exponents = Float32Array.from(channels.flatMap((head) => [...channelExponents(head)]));
  return {
    recipe: {
      cache: cache.name,
      bits,
      groups: Math.max(...channels.map((head) => head.groups)),
      scoreGroups: SCORE_GROUPS[bits],
    },
    tensors: [
      vectorTensor(tensors.queryBias, f32, queryBias),
      vectorTensor(tensors.queryExponents, i8, exponents),
      vectorTensor(
        tensors.queryScales,
        f32,
        Float32Array.from(channels, ({ scale }) => scale),
      ),
      vectorTensor(tensors.keyBias, f32, biasOf(key)),
      vectorTensor(
        tensors.valueScales,
        f32,
        Float32Array.from(channelMagnitudes(value.range), (most) => most / limit),
      ),
    ],
  };
}

/** All row chunks as one: extremes of extremes, the mean of the biases. */
function together(calibration: Calibration, name: string): ChunkStatistics {
  const chunks = calibration.get(name);
  if (chunks === undefined) throw new Error(`tender: ${name} was not calibrated`);
  const over = (pick: (range: ChannelRange) => Float64Array, join: (...values: number[]) => number) =>
    pick(chunks[0].range).map((_, j) => join(...chunks.map(({ range }) => pick(range)[j])));
  return {
    range: { minima: over(({ minima }) => minima, Math.min), maxima: over(({ maxima }) => maxima, Math.max) },
    bias: chunks[0].bias.map((_, j) => chunks.reduce((sum, { bias }) => sum + bias[j], 0) / chunks.length),
  };
}

/** The op's codes as the recipe and the tensors have them. `path` names the place in the recipe. */
export function readAttentionCodes(
  op: AttentionOp,
  recipe: TenderAttention,
  tensors: TensorTable,
  path: string,
): AttentionCodes {
  if (op.codes !== undefined)
    throw new FormatError(`${path}: ${recipe.cache} is listed twice - keep one entry`);
  const { heads, cache } = op;
  const names = attentionTensors(cache.name);
  const vector = (name: string, length: number) => expectVector(name, length, tensors, path);
  return {
    limit: codeLimit(recipe.bits),
    maxExponent: recipe.groups - 1,
    scoreGroups: recipe.scoreGroups,
    queryBias: vector(names.queryBias, heads * cache.headWidth),
    queryExponents: vector(names.queryExponents, heads * cache.headWidth),
    queryScales: vector(names.queryScales, heads),
    keyBias: vector(names.keyBias, cache.kvHeads * cache.headWidth),
    valueScales: vector(names.valueScales, cache.kvHeads * cache.headWidth),
  };
}
