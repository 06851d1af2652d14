/**
 * The predictors of `skim compress prosparse --predictor`: their training,
 * and which layers are read in which way.
 */
import type { ModelFile } from "../formats/model-file.ts";
import type { ComputedTensor } from "../formats/overlay-file.ts";
import type { Segment } from "../methods/calibration-segments.ts";
import { exactShare, predictorShare } from "../methods/prosparse/cost.ts";
import { type TrainedPredictor, trainPredictors } from "../methods/prosparse/predictor-training.ts";
import { type ProSparseRecipe, predictorTensors } from "../methods/prosparse/recipe.ts";
import { nodePlatform } from "../platform/node.ts";
import type { Program } from "../program/program.ts";
import { f16 } from "../quantization/f16.ts";
import { withProgress } from "./progress.ts";
import { formatTable, type Terminal } from "./terminal.ts";

export interface PredictorFlags {
  readonly mostLive: number;
  readonly rank?: number;
  readonly leastRecall: number;
  readonly epochs: number;
  readonly seed: number;
  readonly threads?: number;
}

/** How a layer is read. */
export interface LayerPlan {
  readonly layer: number;
  readonly liveShare: number;
  readonly mode: "predicted" | "exact" | "dense";
  /** Share of the feed-forward weights that a token reads. */
  readonly reads: number;
  /** What was trained, used or not. */
  readonly predictor: TrainedPredictor | undefined;
}

type SparseLayer = ProSparseRecipe["layers"][number];

/** The authors' settings; bytes of recordings that are held at once. */
const TRAINING = { learningRate: 1e-3, weightDecay: 0.01, batch: 256, memory: 2 ** 29 } as const;

export async function trainLayerPredictors(
  terminal: Terminal,
  flags: PredictorFlags,
  file: ModelFile,
  program: Program,
  segments: readonly Segment[],
  signal: AbortSignal,
): Promise<TrainedPredictor[]> {
  const platform = nodePlatform();
  return withProgress(terminal, "training predictors", "epochs", (onProgress) =>
    trainPredictors(platform, file, program, {
      ...TRAINING,
      segments,
      rank: flags.rank ?? defaultRank(program),
      epochs: flags.epochs,
      seed: flags.seed,
      threads: flags.threads ?? platform.coreCount,
      signal,
      onProgress,
    }),
  );
}

/** 1024 for a width of 4096, as in the paper; whole blocks of 32, so that 8-bit storage fits. */
function defaultRank({ ops }: Program): number {
  const unit = ops.find((op) => op.kind === "glu");
  const gate = ops.find((op) => op.kind === "linear" && op.out.name === unit?.gate.name);
  const width = gate?.kind === "linear" ? gate.x.width : 128;
  return 32 * Math.max(1, Math.floor(width / 128));
}

/** The way that reads least; a predictor only where it finds enough. */
export function planLayer(
  { layer, liveShare }: { readonly layer: number; readonly liveShare: number },
  predictor: TrainedPredictor | undefined,
  { mostLive, leastRecall }: Pick<PredictorFlags, "mostLive" | "leastRecall">,
): LayerPlan {
  const exact: Pick<LayerPlan, "mode" | "reads"> =
    liveShare <= mostLive ? { mode: "exact", reads: exactShare(1 - liveShare) } : { mode: "dense", reads: 1 };
  const reads = predictor === undefined ? 1 : predictorShare(1 - predictor.predictedShare, predictor.weights);
  const pays = predictor !== undefined && predictor.recall >= leastRecall && reads < exact.reads;
  return { layer, liveShare, predictor, ...(pays ? { mode: "predicted", reads } : exact) };
}

/** The layer in the recipe. */
export function recipeOf({ layer, liveShare, mode, predictor }: LayerPlan): SparseLayer {
  if (mode !== "predicted" || predictor === undefined) return { layer, liveShare };
  const { weights, predictedShare, recall } = predictor;
  return { layer, liveShare, predictor: { rank: weights.rank, predictedShare, recall } };
}

/** What the layer adds to the file. */
export function tensorsOf({ layer, mode, predictor }: LayerPlan): ComputedTensor[] {
  if (mode !== "predicted" || predictor === undefined) return [];
  const { width, rank, neurons, inner, outer } = predictor.weights;
  const tensor = (name: string, values: Float32Array, rows: number, columns: number): ComputedTensor => ({
    name,
    shape: [rows, columns],
    format: f16,
    values: (firstRow, rowCount) => values.subarray(firstRow * columns, (firstRow + rowCount) * columns),
  });
  const names = predictorTensors(layer);
  return [tensor(names.inner, inner, rank, width), tensor(names.outer, outer, neurons, rank)];
}

/** For --json: all but the weights. */
export function describePlan({ predictor, ...plan }: LayerPlan) {
  if (predictor === undefined) return plan;
  const { layer: _, weights, ...facts } = predictor;
  return { ...plan, predictor: { rank: weights.rank, ...facts } };
}

export function predictorTable(plans: readonly LayerPlan[]): string {
  const rows = plans.flatMap(({ layer, mode, reads, predictor }) => {
    if (predictor === undefined) return [];
    const { liveShare, predictedShare, recall, signRule } = predictor;
    const shares = [liveShare, predictedShare, recall, signRule.predictedShare, signRule.recall, reads];
    return [{ name: String(layer), shares, mode: mode as string }];
  });
  const means = rows[0].shares.map(
    (_, column) => rows.reduce((sum, { shares }) => sum + shares[column], 0) / rows.length,
  );
  const header = ["layer", "live", "predicted", "recall", "by signs", "recall", "reads", "mode"];
  return formatTable(
    header,
    [...rows, { name: "mean", shares: means, mode: "" }].map(({ name, shares, mode }) => [
      name,
      ...shares.map((share) => `${(100 * share).toFixed(1)} %`),
      mode,
    ]),
  );
}
