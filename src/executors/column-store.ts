/**
 * What an executor asks of a file that holds the columns of linears when they do not fit the
 * memory: which there are, how they lie, and readers that bring them. offload/ implements it;
 * executors only know this contract.
 * Invariant: all addresses lie in the executor's one shared memory, columns on multiples of COLUMN_ALIGNMENT.
 */
import type { ModelFile } from "../formats/model-file.ts";
import type { Platform } from "../platform/types.ts";
import type { SelectionRule } from "../program/column-ops.ts";

/** Offsets, lengths and addresses of reads are multiples of it, as reads past the page cache ask for. */
export const COLUMN_ALIGNMENT = 512;

/**
 * Columns between two wanted ones are read and thrown away, up to so many bytes, rather than asking twice: a
 * request costs about what so many bytes do (offload/README.md has the measurement).
 */
export const COLUMN_GAP_BYTES = 16384;

/** How columns are stored: in 8 or in 4 bits per weight. */
export const COLUMN_STORAGES = ["q8", "q4"] as const;
export type ColumnStorage = (typeof COLUMN_STORAGES)[number];

/**
 * The matrices of one op in the file, column by column, parts next to each other
 * (kernels/linear-columns/layout.as.ts).
 */
export interface StoredColumns {
  /** Names of the parts' weights in the program, in the op's order. */
  readonly weights: readonly string[];
  readonly storage: ColumnStorage;
  /** Of each part. */
  readonly rows: number;
  readonly columns: number;
  /** Bytes from one column to the next, in the file and in memory. */
  readonly stride: number;
  /** Of column 0 in the file. */
  readonly offset: number;
}

/** Where one op's columns come from and go to. */
export interface FetchSite {
  readonly stored: StoredColumns;
  readonly rule: SelectionRule;
  /** The input is the normed residual stream, which changes little from one layer to the next. */
  readonly followsResidual: boolean;
  /** Columns that stay in memory from token to token, one every stride bytes. */
  readonly slots: number;
  readonly slotsAddress: number;
  /** Room for all columns of an op, in their order; ops of the same size share it. */
  readonly transit: number;
  /** Result: a count, from byte 16 on ascending indices; and for each of them the address of its column. */
  readonly selection: number;
  readonly places: number;
}

export interface FetchPlan {
  readonly control: number;
  /** FETCH_BLOCK_BYTES, see kernels/layout.ts. */
  readonly block: number;
  /** COLUMN_GAP_BYTES that readers may fill with what nobody needs. */
  readonly discard: number;
  readonly sites: readonly FetchSite[];
}

/** What was read since the executor was made; columns of a prompt's tokens are all read and not looked up. */
export interface FetchCounts {
  /** Generated tokens. */
  readonly tokens: number;
  /** Their choices, and how many of the chosen columns were in memory. */
  readonly chosen: number;
  readonly hits: number;
  /** Bytes from the file, for generated tokens and for prompts. */
  readonly generationBytes: number;
  readonly promptBytes: number;
  /** Time from request to answer, all requests of generated tokens. */
  readonly generationMs: number;
  /** Bytes of both that were read before they were asked for, and those of them that were then used. */
  readonly aheadBytes: number;
  readonly aheadUsedBytes: number;
  /** Whether reads go past the page cache. */
  readonly direct: boolean;
}

export interface ColumnReaders {
  counts(): FetchCounts;
  /** Why a request failed: what was computed since means nothing. */
  failure(): Error | undefined;
  /** Forgets what is in memory before the next request. */
  reset(): void;
  stop(): Promise<void>;
}

export interface ColumnStore {
  readonly name: string;
  /** Most bytes that the executor's memory and the readers may take, everything included. */
  readonly budgetBytes: number;
  /** Part of the budget that the readers themselves take. */
  readonly reservedBytes: number;
  /** False for the policy that keeps no columns from token to token. */
  readonly keepsColumns: boolean;
  /** Factor on the scores of columns that are not in memory; 1 leaves choices as they are. */
  readonly gamma: number;
  /** The stored op with these parts; undefined when the file has none. */
  find(weights: readonly string[]): StoredColumns | undefined;
  /** FormatError unless the file was made from this model. */
  checkModel(model: ModelFile): Promise<void>;
  /** Scales f32 [parts, columns]. */
  readScales(stored: StoredColumns, target: Float32Array): Promise<void>;
  start(platform: Platform, memory: WebAssembly.Memory, plan: FetchPlan): Promise<ColumnReaders>;
}
