/**
 * PPL-p % sparsity (Sparsing Law, arXiv 2411.02335): how many neurons may be left out before perplexity grows by p percent.
 * One error (CETT) for all layers, bisected; every layer leaves out neurons whose output is smaller than the epsilon that
 * gives this error on the text. Works on any activation, so it is the measure by which models of different ones compare.
 * Invariant: epsilons are compared with norms of outputs by an equivalent model, whose up rows are multiplied by the norms of
 * down's columns and whose down columns are divided by them: |x1| of that model is the norm, and the rule of thresholds does
 * the rest, token by token as everywhere.
 */
import { measurePerplexity } from "../../evaluation/perplexity.ts";
import { createWasmExecutor } from "../../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { readWeightRows } from "../../models/decoded-rows.ts";
import type { Platform } from "../../platform/types.ts";
import type { LinearOp, Op, Program, Weight } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import { f32 } from "../../quantization/f32.ts";
import { Model } from "../../session/model.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { type GatedUnit, requireGatedUnits } from "../gated-units.ts";
import { recordNeurons, type RecordOptions } from "./sparsity.ts";
import { columnNorms, TruncationCurve } from "./truncation.ts";

/** CETT is searched to this precision, as the released code does. */
export const SEARCH_PRECISION = 1e-6;

export interface TruncationOptions extends RecordOptions {
  /** The text whose segments are recorded; its perplexity decides (protocol hf, windows of `context` tokens). */
  readonly text: string;
  readonly context: number;
  /** To which CETT is searched. */
  readonly precision: number;
  /** After each perplexity; a search takes at most so many. */
  readonly onTrial?: ((done: number, most: number) => void) | undefined;
}

/** What leaving out neurons of a given error does. */
export interface Truncation {
  /** Mean relative error of each feed-forward's output, at most. */
  readonly cett: number;
  /** Share of neurons left out, mean over layers. */
  readonly sparsity: number;
  readonly layers: readonly number[];
  readonly epsilons: readonly number[];
  readonly perplexity: number;
}

export interface TruncationSearch {
  readonly densePerplexity: number;
  /** The result for this CETT. */
  at(cett: number): Promise<Truncation>;
  /** The result for the largest CETT whose perplexity is at most 1 + percent / 100 times the dense one. */
  forPercent(percent: number): Promise<Truncation>;
}

/** Records a text's curves and makes the search over them. Throws UnsupportedError for layers that another method has replaced. */
export async function searchTruncation(
  platform: Platform,
  file: ModelFile,
  program: Program,
  tokenizer: Tokenizer,
  options: TruncationOptions,
): Promise<TruncationSearch> {
  const units = requireGatedUnits(program, "gate");
  const columns = await Promise.all(
    units.map((unit) => readColumns(file, weightsOfUnit(program, unit).down)),
  );
  const widths = units.map((unit) => weightsOfUnit(program, unit).down.rows);
  const curves = columns.map((values, i) => new TruncationCurve(values, widths[i]));
  await recordNeurons(platform, file, program, ["x1"], options, (read) => {
    for (const [layer, curve] of curves.entries()) curve.add(read(layer)[0]);
  });
  const norms = columns.map((values, i) => columnNorms(values, widths[i]));
  const scaled = scaleNeurons(file, program, units, norms);
  const known = new Map<string, number>();
  const at = async (cett: number): Promise<Truncation> => {
    const epsilons = curves.map((curve) => curve.epsilonFor(cett));
    const key = epsilons.join();
    const perplexity =
      known.get(key) ?? (await scoreTruncated(platform, scaled, units, tokenizer, epsilons, options));
    if (!known.has(key)) {
      known.set(key, perplexity);
      // The one that leaves out nothing but zeros, and the halvings.
      options.onTrial?.(known.size, 1 + Math.ceil(Math.log2(1 / options.precision)));
    }
    const layers = curves.map((curve, i) => curve.shareBelow(epsilons[i]));
    const sparsity = layers.reduce((sum, share) => sum + share, 0) / layers.length;
    return { cett, sparsity, layers, epsilons, perplexity };
  };
  const nothing = curves.map(() => 0);
  const densePerplexity = await scoreTruncated(platform, scaled, units, tokenizer, nothing, options);
  return {
    densePerplexity,
    at,
    async forPercent(percent) {
      let [best, worst] = [await at(0), 1];
      for (let low = 0; worst - low > options.precision; ) {
        const middle = await at((low + worst) / 2);
        if (middle.perplexity <= densePerplexity * (1 + percent / 100)) {
          best = middle;
          low = middle.cett;
        } else worst = middle.cett;
      }
      return best;
    },
  };
}

function weightsOfUnit(
  { ops }: Program,
  { up, down }: GatedUnit,
): { readonly up: Weight; readonly down: Weight } {
  return { up: (ops[up] as LinearOp).weight, down: (ops[down] as LinearOp).weight };
}

/** A matrix [rows, columns] as f32 [columns, rows]. */
async function readColumns(file: ModelFile, weight: Weight): Promise<Float32Array> {
  const values = await readWeightRows(file, weight, 0, weight.rows);
  const transposed = new Float32Array(values.length);
  for (let row = 0; row < weight.rows; row++) {
    for (let column = 0; column < weight.columns; column++) {
      transposed[column * weight.rows + row] = values[row * weight.columns + column];
    }
  }
  return transposed;
}

interface ScaledModel {
  readonly file: ModelFile;
  readonly program: Program;
}

/** The equivalent model whose |x1| are the norms of what neurons add. */
function scaleNeurons(
  file: ModelFile,
  program: Program,
  units: readonly GatedUnit[],
  norms: readonly Float32Array[],
): ScaledModel {
  const ops = [...program.ops];
  const tensors: ComputedTensor[] = [];
  for (const [i, unit] of units.entries()) {
    const { up, down } = weightsOfUnit(program, unit);
    // A neuron that adds nothing may keep its weights.
    const factors = norms[i].map((norm) => (norm === 0 ? 1 : norm));
    tensors.push(scaledTensor(file, up, (row) => factors[row]));
    tensors.push(scaledTensor(file, down, (_, column) => 1 / factors[column]));
    for (const index of [unit.up, unit.down]) {
      const op = ops[index] as LinearOp;
      ops[index] = { ...op, weight: { ...op.weight, tensor: scaledName(op.weight), firstRow: 0 } };
    }
  }
  return { file: overlayFile(file, tensors, undefined), program: { ...program, ops } };
}

function scaledName({ name }: Weight): string {
  return `scaled ${name}`;
}

function scaledTensor(
  file: ModelFile,
  weight: Weight,
  factor: (row: number, column: number) => number,
): ComputedTensor {
  const { rows, columns } = weight;
  return {
    name: scaledName(weight),
    shape: [rows, columns],
    format: f32,
    async values(firstRow, rowCount) {
      const values = await readWeightRows(file, weight, firstRow, rowCount);
      return values.map((value, i) => value * factor(firstRow + Math.floor(i / columns), i % columns));
    },
  };
}

/** Perplexity without the neurons below each layer's epsilon. */
async function scoreTruncated(
  platform: Platform,
  { file, program }: ScaledModel,
  units: readonly GatedUnit[],
  tokenizer: Tokenizer,
  epsilons: readonly number[],
  { text, context, threads, signal }: TruncationOptions,
): Promise<number> {
  const replaced = new Map(
    units.map(({ layer, down }, i): [number, Op[]] => {
      const { x, weight, bias, out } = program.ops[down] as LinearOp;
      const selection = {
        name: `layers.${layer}.kept`,
        width: x.width,
        rule: { kind: "threshold", threshold: epsilons[i] },
      } as const;
      return [
        down,
        [
          { kind: "selectColumns", x, out: selection },
          { kind: "linearColumns", x, selection, parts: [{ weight, bias, out }] },
        ],
      ];
    }),
  );
  const truncated = validateProgram({
    ...program,
    ops: program.ops.flatMap((op, i) => replaced.get(i) ?? [op]),
  });
  const executor = await createWasmExecutor(platform, truncated, file, {
    threads,
    limits: { contextLength: context, slots: 1, stepTokens: 1 },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  await using model = new Model({
    file: { ...file, close: () => Promise.resolve() },
    tokenizer,
    executor,
    generationDefaults: {},
    spans: undefined,
    loadMs: 0,
    now: () => platform.now(),
  });
  const report = await measurePerplexity(model, text, { protocol: "hf", context, ...(signal && { signal }) });
  return report.perplexity;
}
