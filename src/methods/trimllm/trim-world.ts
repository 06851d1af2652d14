/** What a trimming run asks of the world around it (files, workers, somebody who watches), and its settings. */
import type { HuggingFaceModelFile, ModelFile } from "../../formats/model-file.ts";
import type { TrainingExecutor } from "../../executors/training/training-executor.ts";
import type { Platform } from "../../platform/types.ts";
import type { BatchSource } from "../../training/batches.ts";
import type { TrainedWeights } from "../../training/save-model.ts";
import type { StepReport, TrainerSettings } from "../../training/trainer.ts";
import type { TrainingState } from "../../training/training-state.ts";
import type { TrimData } from "./data.ts";
import type { UnitKind } from "./scan.ts";
import type { TieBreaker } from "./selection.ts";
import type { TrimGoal } from "./stopping.ts";
import type { TrimState } from "./trim-state.ts";

/** What decides which unit goes next. The first is TrimLLM's, the others are for comparison. */
export const SELECTIONS = ["accuracy", "loss", "norm", "influence", "random"] as const;
export type SelectionName = (typeof SELECTIONS)[number];

export interface TrimSettings extends TrimGoal {
  readonly unit: UnitKind;
  readonly select: SelectionName;
  readonly tieBreaker: TieBreaker;
  /** How much less than the best quality still counts as equal; 0 in the paper. */
  readonly tolerance: number;
  /** Share r of the blocks that is trained. */
  readonly trainedShare: number;
  /** Whether embedding, final norm and head are trained too. */
  readonly trainTables: boolean;
  /** Low-rank adapters that are trained in place of the blocks' own weights; merged into every saved size. */
  readonly adapters: { readonly rank: number; readonly alpha: number } | undefined;
  /** Updates per size. */
  readonly stepsPerRound: number;
  /** Units that go before each tuning; all at once is one-shot dropping. */
  readonly unitsPerRound: number;
  readonly mostUnits: number;
  readonly seed: number;
  /** One schedule over all sizes. */
  readonly trainer: TrainerSettings;
}

export interface TrimWorld {
  readonly platform: Platform;
  readonly threads: number;
  readonly base: HuggingFaceModelFile;
  readonly data: TrimData;
  readonly batches: BatchSource;
  /** Tokens of a micro-batch, and of a sequence. */
  readonly limits: { readonly rows: number; readonly sequenceLength: number };
  /** Opens the folder of a size. */
  readonly openSize: (round: number) => Promise<ModelFile>;
  /** Writes the folder of a size: `file` says which tensors, `weights` has their values. */
  readonly saveSize: (round: number, file: HuggingFaceModelFile, weights: TrainedWeights) => Promise<void>;
  /** Puts the last training checkpoint into the executor; undefined when there is none yet. */
  readonly loadCheckpoint: (executor: TrainingExecutor) => Promise<TrainingState | undefined>;
  readonly saveCheckpoint: (executor: TrainingExecutor, state: TrainingState) => Promise<void>;
  readonly saveState: (state: TrimState) => Promise<void>;
  readonly now: () => number;
  readonly signal: AbortSignal | undefined;
  readonly onStep: (round: number, report: StepReport) => void;
  readonly onProgress: (what: "scanning" | "validating" | "testing", done: number, total: number) => void;
  /** A size is tuned and measured. */
  readonly onRound: (state: TrimState) => void;
}
