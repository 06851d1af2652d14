/**
 * A model on disk as the rest of skim sees it, whatever container it came in: metadata, a table of
 * tensors and lazy access to their rows. Opening one reads headers only; weights are read when an
 * executor asks for them.
 */
import type { WeightFormat } from "../quantization/weight-format.ts";

export interface TensorInfo {
  /** The checkpoint's own name, e.g. `blk.0.attn_q.weight`. */
  readonly name: string;
  /**
   * Outermost dimension first: a linear weight is [rows (outputs), columns (inputs)],
   * whatever the container's order.
   */
  readonly shape: readonly number[];
  readonly format: WeightFormat;
  /** Size in the file. */
  readonly bytes: number;
}

/** A GGUF metadata value; 64-bit integers arrive as number when exact, as bigint otherwise. */
export type GgufValue = string | number | bigint | boolean | readonly GgufValue[];

/** JSON as parsed, before a schema looks at it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

interface ModelFileBase {
  /** File or folder name, for messages. */
  readonly name: string;
  /** `general.architecture` in GGUF, `model_type` in config.json. */
  readonly architecture: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Total bytes of all tensors in the file. */
  readonly tensorBytes: number;
  /**
   * Reads rows [firstRow, firstRow + rowCount) of a tensor into `target` in the tensor's own format.
   * A row is the innermost dimension; all outer dimensions are flattened. Throws FormatError when
   * the tensor is unknown.
   */
  readRows(tensor: string, firstRow: number, rowCount: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
  /**
   * The `skim` section of a folder's config.json: what skim's methods have done to the checkpoint, unchecked.
   */
  readonly recipes?: Json | undefined;
}

export interface GgufModelFile extends ModelFileBase {
  readonly container: "gguf";
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

export interface HuggingFaceModelFile extends ModelFileBase {
  readonly container: "huggingface";
  /** config.json */
  readonly config: JsonObject;
  /** generation_config.json, where present. */
  readonly generationConfig: JsonObject | undefined;
  /** tokenizer_config.json, where present. */
  readonly tokenizerConfig: JsonObject | undefined;
  /** Reads tokenizer.json; undefined where the folder has none. */
  readTokenizer(): Promise<JsonObject | undefined>;
  /** chat_template.jinja where present: newer folders keep the template outside tokenizer_config.json. */
  readonly chatTemplate: string | undefined;
}

export type ModelFile = GgufModelFile | HuggingFaceModelFile;
