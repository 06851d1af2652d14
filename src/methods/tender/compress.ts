/**
 * From a checkpoint and its calibration to the checkpoint that Tender makes of it: integer codes and their scales laid over
 * the original file, the recipe, and the rewritten program. Nothing is written here; rows are quantized when they are read.
 * Source: Tender (arXiv 2406.12930), offline part: weights per output row, bias term with unquantized weights; the
 * overflow check merges the lowest groups of a chunk until the 32-bit bound holds.
 */
import { OptionError, UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile, vectorTensor } from "../../formats/overlay-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { weightKind } from "../../program/accounting.ts";
import type { Program, Weight } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { i4 } from "../../quantization/i4.ts";
import { i8 } from "../../quantization/i8.ts";
import { readRecipes, recipeSection } from "../recipes.ts";
import { codeAttention } from "./attention-codes.ts";
import type { Calibration, ObservedInput } from "./calibration.ts";
import { biasTerm, codeLimit, maxGroups, rowCodes, tokenLimit } from "./codes.ts";
import {
  type ChannelGroups,
  channelExponents,
  channelMagnitudes,
  groupChannels,
  mergeGroups,
} from "./grouping.ts";
import { magnitudeByGroup, safeGroups, safeLimit } from "./overflow.ts";
import { inputTensors, linearTensors, type TenderInput, type TenderRecipe } from "./recipe.ts";
import { rewriteTender, tableTensors } from "./rewrite.ts";

export interface TenderOptions {
  /** 16 leaves activations to one range per token as wide as the accumulator allows (weight-only). */
  readonly activationBits: 4 | 8 | 16;
  readonly weightBits: 4 | 8;
  /** G; one group without channel bias is plain per-tensor quantization. */
  readonly groups: number;
  readonly chunkRows: number | undefined;
  readonly rounding: "up" | "down";
  readonly channelBias: boolean;
  /** Activations per token at `activationBits` instead of static ranges: the per-row baseline. */
  readonly perToken?: boolean;
  /** Integer products in attention too; the calibration must have observed what it reads. */
  readonly attention?: boolean | undefined;
  /** Bits of the head's codes, and of its activations where those have fewer; undefined leaves the head as it is. */
  readonly headBits: 8 | undefined;
  readonly calibration: TenderRecipe["calibration"];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneWeights: number, totalWeights: number) => void) | undefined;
}

export interface TenderResult {
  readonly file: ModelFile;
  readonly program: Program;
  readonly recipe: TenderRecipe;
}

/** Rows of weights decoded at a time. */
const PIECE_VALUES = 1 << 20;

/** Throws UnsupportedError where the program has nothing to quantize or a shape that codes cannot hold. */
export async function compressTender(
  base: ModelFile,
  program: Program,
  inputs: readonly ObservedInput[],
  calibration: Calibration,
  options: TenderOptions,
): Promise<TenderResult> {
  checkGroups(options);
  const chosen = inputs.filter(({ name }) => options.headBits !== undefined || weightKind(name) !== "head");
  if (chosen.length === 0) {
    throw new UnsupportedError(
      `${base.name}: has no linear layers left to quantize - compress the original checkpoint`,
    );
  }
  const tables = tableTensors(program);
  const total = chosen.reduce(
    (sum, { linears }) => sum + linears.reduce((n, { weight }) => n + size(weight), 0),
    0,
  );
  const work = { base, options, tables, done: 0, total };
  const tensors = new Map<string, ComputedTensor>();
  const recipeInputs: TenderInput[] = [];
  for (const input of chosen) {
    const made = await compressInput(input, calibration, work);
    recipeInputs.push(made.input);
    for (const tensor of made.tensors) tensors.set(tensor.name, tensor);
  }
  const { activationBits, weightBits, groups, chunkRows, rounding, channelBias } = options;
  const attention =
    options.attention === true && activationBits !== 16
      ? codeAttention(program, calibration, { bits: activationBits, groups, rounding, channelBias })
      : undefined;
  for (const tensor of attention?.tensors ?? []) tensors.set(tensor.name, tensor);
  const recipe: TenderRecipe = {
    method: "tender",
    version: 1,
    inputs: recipeInputs,
    ...(attention && { attention: [...attention.recipe] }),
    settings: { activationBits, weightBits, groups, chunkRows: chunkRows ?? null, rounding },
    calibration: options.calibration,
  };
  const file = overlayFile(base, [...tensors.values()], recipeSection([...readRecipes(base), recipe]));
  return { file, program: rewriteTender(program, recipe, file.tensors, base.name), recipe };
}

function checkGroups({ activationBits, groups, attention }: TenderOptions): void {
  if (attention === true && activationBits === 16) {
    throw new OptionError(
      "tender: attention of integers needs activations of 8 or 4 bits, got 16 - choose one",
    );
  }
  const most = activationBits === 16 ? 1 : maxGroups(activationBits);
  if (groups > most) {
    throw new UnsupportedError(
      `tender: ${groups} groups of ${activationBits}-bit activations, expected at most ${most}, whose shifted codes fit 16 bits - use fewer groups`,
    );
  }
}

interface Work {
  readonly base: ModelFile;
  readonly options: TenderOptions;
  readonly tables: ReadonlySet<string>;
  readonly total: number;
  done: number;
}

/** Static groups and bias of one chunk. */
interface Chunk {
  readonly bias: Float32Array | undefined;
  channels: ChannelGroups;
}

async function compressInput(
  input: ObservedInput,
  calibration: Calibration,
  work: Work,
): Promise<{ readonly input: TenderInput; readonly tensors: readonly ComputedTensor[] }> {
  const { options } = work;
  const isHead = weightKind(input.name) === "head";
  const codeBits = isHead ? (options.headBits ?? 8) : options.weightBits;
  const bits = isHead && options.activationBits === 4 ? 8 : options.activationBits;
  const staticBits = bits === 16 || options.perToken === true ? undefined : bits;
  const chunks = staticBits === undefined ? [] : planChunks(input, calibration, staticBits, options);
  const tensors: ComputedTensor[] = [];
  const offsets: string[] = [];
  let limit = bits === 16 ? tokenLimit(codeBits) : codeLimit(bits);
  for (const { weight, bias } of input.linears) {
    const pass = await examine(
      work,
      weight,
      codeBits,
      bias,
      chunks,
      bits === 16 ? undefined : codeLimit(bits),
    );
    limit = Math.min(limit, pass.limit);
    pass.groups.forEach((groups, c) => {
      chunks[c].channels = mergeGroups(chunks[c].channels, groups);
    });
    const names = linearTensors(weight, work.tables.has(weight.tensor));
    tensors.push(codesTensor(work.base, weight, names.codes, codeBits));
    tensors.push(vectorTensor(names.scales, f32, pass.scales));
    if (pass.offset !== undefined) {
      tensors.push(vectorTensor(names.offset, f32, pass.offset));
      offsets.push(weight.name);
    }
  }
  const facts = {
    name: input.name,
    linears: input.linears.map(({ weight }) => weight.name),
    codeBits,
    offsets,
  };
  if (staticBits === undefined) {
    return { input: { ...facts, activations: { kind: "dynamic", limit } }, tensors };
  }
  const activations: TenderInput["activations"] = {
    kind: "static",
    bits: staticBits,
    groups: Math.max(...chunks.map(({ channels }) => channels.groups)),
    chunks: chunks.length,
    chunkRows: options.chunkRows ?? 1,
    channelBias: chunks[0].bias !== undefined,
  };
  return { input: { ...facts, activations }, tensors: [...tensors, ...chunkTensors(input.name, chunks)] };
}

function planChunks(
  { name, normed }: ObservedInput,
  calibration: Calibration,
  bits: number,
  { groups, rounding, channelBias }: TenderOptions,
): Chunk[] {
  const statistics = calibration.get(name);
  if (statistics === undefined) throw new Error(`tender: input ${name} was not calibrated`);
  const subtracts = channelBias && normed && weightKind(name) !== "head";
  return statistics.map(({ range, bias }) => {
    const kept = subtracts ? Float32Array.from(bias) : undefined;
    const magnitudes = channelMagnitudes(range, kept === undefined ? undefined : Float64Array.from(kept));
    const possible = Math.min(groups, maxGroups(bits));
    const channels = groupChannels(magnitudes, possible, codeLimit(bits), rounding);
    // Empty groups at the end only make codes wider: the same scales without them.
    return { bias: kept, channels: mergeGroups(channels, Math.max(...channels.group)) };
  });
}

function chunkTensors(name: string, chunks: readonly Chunk[]): ComputedTensor[] {
  const names = inputTensors(name);
  const concatenate = (parts: readonly ArrayLike<number>[]) =>
    Float32Array.from(parts.flatMap((part) => Array.from(part)));
  const biases = chunks.flatMap(({ bias }) => (bias === undefined ? [] : [bias]));
  return [
    ...(biases.length === 0 ? [] : [vectorTensor(names.bias, f32, concatenate(biases))]),
    vectorTensor(names.exponents, i8, concatenate(chunks.map(({ channels }) => channelExponents(channels)))),
    vectorTensor(
      names.scales,
      f32,
      Float32Array.from(chunks, ({ channels }) => channels.scale),
    ),
  ];
}

/** One reading of a weight: row scales, offsets per chunk, and what the accumulator bound allows. */
async function examine(
  work: Work,
  weight: Weight,
  codeBits: 4 | 8,
  bias: Weight | undefined,
  chunks: readonly Chunk[],
  staticLimit: number | undefined,
): Promise<{ scales: Float32Array; offset: Float32Array | undefined; groups: number[]; limit: number }> {
  const { rows } = weight;
  const scales = new Float32Array(rows);
  const biases = chunks.flatMap((chunk) => (chunk.bias === undefined ? [] : [chunk.bias]));
  const own = bias === undefined ? undefined : await readVector(work.base, bias);
  const offset =
    own === undefined && biases.length === 0
      ? undefined
      : new Float32Array(Math.max(1, chunks.length) * rows);
  const groups = chunks.map(({ channels }) => channels.groups);
  let limit = staticLimit ?? tokenLimit(codeBits);
  await forEachRow(work, weight, (row, n) => {
    const { codes, scale } = rowCodes(row, codeLimit(codeBits));
    scales[n] = scale;
    limit = Math.min(limit, safeLimit(codes));
    chunks.forEach(({ channels }, c) => {
      const sums = magnitudeByGroup(codes, channels.group, channels.groups);
      groups[c] = Math.min(groups[c], safeGroups(sums, staticLimit ?? limit));
    });
    for (let c = 0; offset !== undefined && c * rows < offset.length; c++) {
      offset[c * rows + n] = (own?.[n] ?? 0) + (biases.length === 0 ? 0 : biasTerm(row, biases[c]));
    }
  });
  if (groups.includes(0)) {
    throw new UnsupportedError(
      `${work.base.name}: ${weight.name} has ${weight.columns} inputs, more than a 32-bit accumulator can hold products of - quantize to fewer bits`,
    );
  }
  return { scales, offset, groups, limit };
}

async function forEachRow(
  work: Work,
  weight: Weight,
  visit: (row: Float32Array, n: number) => void,
): Promise<void> {
  const { rows, columns } = weight;
  const piece = Math.max(1, Math.floor(PIECE_VALUES / columns));
  for (let first = 0; first < rows; first += piece) {
    work.options.signal?.throwIfAborted();
    const count = Math.min(piece, rows - first);
    const values = await readRows(work.base, weight.tensor, weight.firstRow + first, count);
    for (let n = 0; n < count; n++) visit(values.subarray(n * columns, (n + 1) * columns), first + n);
    work.done += count * columns;
    work.options.onProgress?.(work.done, work.total);
    // Lets an abort arrive between pieces: all of this is one long computation otherwise.
    await new Promise<void>((resolve) => setTimeout(resolve));
  }
}

/** Codes of the whole tensor; parts of fused ones share it, as every row has its own scale. */
function codesTensor(base: ModelFile, weight: Weight, name: string, bits: 4 | 8): ComputedTensor {
  const { tensor } = weight;
  const shape = base.tensors.get(tensor)?.shape ?? [];
  const columns = shape[shape.length - 1];
  if (bits === 4 && columns % 2 !== 0) {
    throw new UnsupportedError(
      `${base.name}: ${weight.name} has ${columns} columns, expected an even number for 4 bits`,
    );
  }
  return {
    name,
    shape,
    format: bits === 4 ? i4 : i8,
    async values(firstRow, rowCount) {
      const values = await readRows(base, tensor, firstRow, rowCount);
      for (let row = 0; row < rowCount; row++) {
        const part = values.subarray(row * columns, (row + 1) * columns);
        part.set(rowCodes(part, codeLimit(bits)).codes);
      }
      return values;
    },
  };
}

async function readRows(
  file: ModelFile,
  name: string,
  firstRow: number,
  rowCount: number,
): Promise<Float32Array> {
  const info = file.tensors.get(name);
  if (info === undefined) throw new Error(`tender: unknown tensor ${name}`);
  const values = new Float32Array(rowCount * info.shape[info.shape.length - 1]);
  await readDecodedRows(file, info, firstRow, rowCount, values);
  return values;
}

async function readVector(file: ModelFile, weight: Weight): Promise<Float32Array> {
  const values = await readRows(file, weight.tensor, 0, 1);
  return values.subarray(weight.firstRow * weight.columns, (weight.firstRow + 1) * weight.columns);
}

function size({ rows, columns }: Weight): number {
  return rows * columns;
}
