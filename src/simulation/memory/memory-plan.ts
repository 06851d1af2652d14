/**
 * Who lives where in DIP's DRAM/flash model (Federici et al., arXiv 2412.01380): attention, head and
 * keys/values are pinned in DRAM, the rest of DRAM is split evenly, in bytes, over the MLP linears as caches
 * of whole columns. Units are powers of ten. Invariant: slots * unit bytes never exceed a linear's share.
 */
import { OptionError } from "../../errors.ts";
import type { TransformerShape } from "../model-shapes.ts";

/** The two places of a gated MLP where columns are chosen. */
export const HOOKS = ["input", "glu"] as const;
/** `input`: the MLP's input, one mask for up and gate; `glu`: act(gate) * up, the columns of down. */
export type Hook = (typeof HOOKS)[number];

/** Bytes per stored number. */
export interface StorageSizes {
  /** Attention, head and embedding weights. */
  readonly pinnedWeight: number;
  /** MLP weights, their share of scales included. */
  readonly mlpWeight: number;
  /** Keys and values. */
  readonly keyValue: number;
}

export interface MemorySetting {
  readonly shape: TransformerShape;
  readonly storage: StorageSizes;
  readonly dramBytes: number;
  /** Prompt tokens; they run dense and are read once. */
  readonly promptLength: number;
  /** Positions at the end of generation; DRAM is reserved for this many keys and values. */
  readonly sequenceLength: number;
  /** Counts the embedding table as resident; otherwise only its current row is, and counts as nothing. */
  readonly pinEmbedding: boolean;
  /** What does not fit DRAM of the pinned parts is read from flash every token, instead of being an error. */
  readonly streamPinned: boolean;
}

export interface MemoryPlan {
  readonly setting: MemorySetting;
  readonly footprint: {
    readonly head: number;
    readonly embedding: number;
    readonly attention: number;
    /** At the full sequence length. */
    readonly keyValue: number;
    readonly mlp: number;
  };
  /** Pinned bytes at the full sequence length. */
  readonly staticBytes: number;
  /** Pinned bytes beyond DRAM, read from flash for every token. */
  readonly overflowBytes: number;
  /** DRAM bytes of each of the 3 L masked linears. */
  readonly linearBudget: number;
  readonly hooks: Readonly<Record<Hook, HookPlan>>;
}

export interface HookPlan {
  /** Columns to choose from: d or f. */
  readonly columns: number;
  /** Matrices that share the choice: 2 (up, gate) or 1 (down). */
  readonly linears: number;
  /** Bytes of one column of one matrix. */
  readonly unitBytes: number;
  /** Columns of each matrix that fit its share of DRAM, at most all. */
  readonly slots: number;
}

/** Lays a model out. Throws OptionError when the pinned parts do not fit DRAM and may not be streamed. */
export function planMemory(setting: MemorySetting): MemoryPlan {
  const { shape, storage, dramBytes, promptLength, sequenceLength } = setting;
  if (!shape.gated) {
    throw new OptionError(
      `simulate memory: ${shape.name} has no gated MLP, expected a model with gate, up and down`,
    );
  }
  if (promptLength > sequenceLength) {
    throw new OptionError(
      `simulate memory: the prompt (${promptLength} tokens) is longer than the sequence (${sequenceLength})`,
    );
  }
  const { layers, width, feedForwardWidth, vocabularySize } = shape;
  const footprint = {
    head: storage.pinnedWeight * width * vocabularySize,
    embedding: setting.pinEmbedding ? storage.pinnedWeight * width * vocabularySize : 0,
    attention: storage.pinnedWeight * 2 * (shape.heads + shape.kvHeads) * shape.headWidth * width * layers,
    keyValue: keyValueBytes(setting, sequenceLength),
    mlp: storage.mlpWeight * 3 * width * feedForwardWidth * layers,
  };
  const staticBytes = footprint.head + footprint.embedding + footprint.attention + footprint.keyValue;
  const overflowBytes = Math.max(staticBytes - dramBytes, 0);
  if (overflowBytes > 0 && !setting.streamPinned) {
    throw new OptionError(
      `simulate memory: attention, head, keys and values of ${shape.name} need ${gigabytes(staticBytes)}, expected at most ` +
        `the ${gigabytes(dramBytes)} of DRAM - give more DRAM, a shorter context, or allow streaming the pinned parts`,
    );
  }
  const linearBudget = Math.max(dramBytes - staticBytes, 0) / (3 * layers);
  const hook = (columns: number, linears: number, unitLength: number): HookPlan => {
    const unitBytes = unitLength * storage.mlpWeight;
    return { columns, linears, unitBytes, slots: Math.min(Math.floor(linearBudget / unitBytes), columns) };
  };
  return {
    setting,
    footprint,
    staticBytes,
    overflowBytes,
    linearBudget,
    hooks: { input: hook(width, 2, feedForwardWidth), glu: hook(feedForwardWidth, 1, width) },
  };
}

/** Bytes of the keys and values of so many positions, all layers. */
export function keyValueBytes({ shape, storage }: MemorySetting, positions: number): number {
  return storage.keyValue * positions * 2 * shape.kvHeads * shape.headWidth * shape.layers;
}

/** Bytes that must be held to decode with this MLP density: everything but the embedding table. */
export function activeBytes({ footprint }: MemoryPlan, mlpDensity: number): number {
  return footprint.head + footprint.attention + footprint.keyValue + mlpDensity * footprint.mlp;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(3)} GB`;
}
