/**
 * Hyper-parameters from GGUF metadata: typed key lookup under the architecture's prefix, and the set of keys
 * that all supported architectures share. Key names: gguf-py's constants.py; meanings: llama.cpp's loader.
 * Rotary factors live in tensors (`rope_freqs`, `rope_factors_long/short`), so reading them is asynchronous.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { GgufModelFile, GgufValue } from "../formats/model-file.ts";
import { parseActivation } from "./activation.ts";
import { readDecodedRows } from "./decoded-rows.ts";
import {
  deriveHeadWidth,
  type HyperParameters,
  MAX_CONTEXT,
  MAX_HEAD_WIDTH,
  MAX_HEADS,
  MAX_LAYERS,
  MAX_VOCABULARY,
  MAX_WIDTH,
  usableContext,
} from "./hyper-parameters.ts";
import {
  DEFAULT_ROTARY_BASE,
  longRopeMagnitude,
  type RotaryParameters,
  type RotaryScaling,
  yarnMagnitude,
} from "./rotary.ts";
import { GGUF_NAMES } from "./tensor-names.ts";

/** Metadata under one architecture's prefix; every failure names the full key. */
export class GgufKeys {
  readonly #file: GgufModelFile;

  constructor(file: GgufModelFile) {
    this.#file = file;
  }

  integer(key: string, max: number): number {
    const value = this.optionalInteger(key, 1, max);
    return value ?? this.#fail(key, `an integer from 1 to ${max}`, undefined);
  }

  optionalInteger(key: string, min: number, max: number): number | undefined {
    const value = this.#value(key);
    if (value === undefined) {
      return undefined;
    }
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      return this.#fail(key, `an integer from ${min} to ${max}`, value);
    }
    return value;
  }

  /** A finite number above zero. */
  optionalPositive(key: string): number | undefined {
    const value = this.#value(key);
    if (value === undefined) {
      return undefined;
    }
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
      return this.#fail(key, "a number above 0", value);
    }
    return value;
  }

  positive(key: string): number {
    return this.optionalPositive(key) ?? this.#fail(key, "a number above 0", undefined);
  }

  optionalString(key: string): string | undefined {
    const value = this.#value(key);
    return value === undefined || typeof value === "string" ? value : this.#fail(key, "a string", value);
  }

  #value(key: string): GgufValue | undefined {
    return this.#file.metadata.get(`${this.#file.architecture}.${key}`);
  }

  #fail(key: string, expected: string, got: GgufValue | undefined): never {
    const shown = got === undefined ? "nothing" : typeof got === "object" ? "an array" : String(got);
    throw new FormatError(
      `${this.#file.name}: metadata key ${this.#file.architecture}.${key}, expected ${expected}, got ${shown} - the file is damaged or not a supported model`,
    );
  }
}

/**
 * The shared keys; `pairing` is the architecture's rotary layout. `contextLength` chooses between the short
 * and the long rotary factors. Throws FormatError naming a missing or senseless key.
 */
export async function readGgufParameters(
  file: GgufModelFile,
  family: string,
  pairing: RotaryParameters["pairing"],
  contextLength: number | undefined,
): Promise<HyperParameters> {
  const keys = new GgufKeys(file);
  if ((keys.optionalInteger("expert_count", 0, MAX_WIDTH) ?? 0) > 0) {
    throw new UnsupportedError(
      `${file.name}: mixture-of-experts models are not supported, expected ${file.architecture}.expert_count 0 - use a dense model`,
    );
  }
  const width = keys.integer("embedding_length", MAX_WIDTH);
  const heads = keys.integer("attention.head_count", MAX_HEADS);
  const headWidth = readHeadWidth(file, keys, width, heads);
  const layers = keys.integer("block_count", MAX_LAYERS);
  const stated = keys.integer("context_length", MAX_CONTEXT);
  const window = keys.optionalInteger("attention.sliding_window", 0, MAX_CONTEXT);
  const rotaryWidth = keys.optionalInteger("rope.dimension_count", 1, MAX_HEAD_WIDTH) ?? headWidth;
  const scaling = readScaling(file, keys, stated);
  const usable = usableContext(stated, scaling);
  return {
    family,
    layers,
    width,
    feedForwardWidth: keys.integer("feed_forward_length", MAX_WIDTH),
    heads,
    kvHeads: keys.optionalInteger("attention.head_count_kv", 1, MAX_HEADS) ?? heads,
    headWidth,
    vocabularySize: readVocabularySize(file),
    contextLength: usable,
    normEpsilon: keys.positive("attention.layer_norm_rms_epsilon"),
    activation: parseActivation(file.name, keys.optionalString("hidden_activation") ?? "silu", undefined),
    tiedHead: !file.tensors.has(GGUF_NAMES.head),
    rotary: {
      base: keys.optionalPositive("rope.freq_base") ?? DEFAULT_ROTARY_BASE,
      width: rotaryWidth,
      pairing,
      scaling,
      ...(await readDivisors(file, keys, scaling, rotaryWidth, stated, contextLength ?? usable)),
    },
    // 0 is what converters write for "no window".
    windows: Array.from({ length: layers }, () => window || undefined),
  };
}

function readHeadWidth(file: GgufModelFile, keys: GgufKeys, width: number, heads: number): number {
  const keyWidth = keys.optionalInteger("attention.key_length", 1, MAX_HEAD_WIDTH);
  const headWidth = keyWidth ?? deriveHeadWidth(file.name, width, heads);
  const valueWidth = keys.optionalInteger("attention.value_length", 1, MAX_HEAD_WIDTH) ?? headWidth;
  if (valueWidth !== headWidth) {
    throw new UnsupportedError(
      `${file.name}: heads with keys of ${headWidth} and values of ${valueWidth}, expected equal widths - use a model of another architecture`,
    );
  }
  return headWidth;
}

/** The vocabulary is as large as the embedding table; `vocab_size` is optional metadata and often absent. */
function readVocabularySize(file: GgufModelFile): number {
  const rows = file.tensors.get(GGUF_NAMES.embedding)?.shape[0];
  if (rows === undefined) {
    throw new FormatError(
      `${file.name}: tensor ${GGUF_NAMES.embedding}, expected an embedding table, got no such tensor - the file holds no model, perhaps only a vocabulary`,
    );
  }
  if (rows > MAX_VOCABULARY) {
    throw new FormatError(
      `${file.name}: tensor ${GGUF_NAMES.embedding}, expected at most ${MAX_VOCABULARY} rows, got ${rows} - the file is damaged`,
    );
  }
  return rows;
}

function readScaling(file: GgufModelFile, keys: GgufKeys, contextLength: number): RotaryScaling {
  // Without a type a factor means linear interpolation; `scale_linear` is the key's name in old files.
  const factor =
    keys.optionalPositive("rope.scaling.factor") ?? keys.optionalPositive("rope.scale_linear") ?? 1;
  const type = keys.optionalString("rope.scaling.type") ?? "linear";
  switch (type) {
    case "none":
    case "longrope":
      return { kind: "none" };
    case "linear":
      return factor === 1 ? { kind: "none" } : { kind: "linear", factor };
    case "yarn":
      return {
        kind: "yarn",
        factor,
        originalContextLength: readOriginalContext(keys) ?? contextLength,
        betaFast: keys.optionalPositive("rope.scaling.yarn_beta_fast") ?? 32,
        betaSlow: keys.optionalPositive("rope.scaling.yarn_beta_slow") ?? 1,
        truncate: true,
      };
    default:
      throw new UnsupportedError(
        `${file.name}: rope scaling ${JSON.stringify(type)}, expected none, linear, yarn or longrope - use a model with one of them`,
      );
  }
}

function readOriginalContext(keys: GgufKeys): number | undefined {
  return keys.optionalInteger("rope.scaling.original_context_length", 1, MAX_CONTEXT);
}

/** Divisors from the file's factor tensors, and the magnitude that goes with them. */
async function readDivisors(
  file: GgufModelFile,
  keys: GgufKeys,
  scaling: RotaryScaling,
  rotaryWidth: number,
  stated: number,
  contextLength: number,
): Promise<Pick<RotaryParameters, "divisors" | "magnitude">> {
  const factor = keys.optionalPositive("rope.scaling.attn_factor");
  const long = await readFactors(file, "rope_factors_long.weight", rotaryWidth);
  const short = await readFactors(file, "rope_factors_short.weight", rotaryWidth);
  if (long !== undefined && short !== undefined) {
    const original = readOriginalContext(keys) ?? stated;
    return {
      divisors: contextLength > original ? long : short,
      magnitude: factor ?? longRopeMagnitude(original, stated),
    };
  }
  const divisors = await readFactors(file, "rope_freqs.weight", rotaryWidth);
  if (scaling.kind !== "yarn") {
    return { divisors, magnitude: factor ?? 1 };
  }
  const multiplier = keys.optionalPositive("rope.scaling.yarn_log_multiplier");
  const natural =
    multiplier === undefined
      ? yarnMagnitude(scaling.factor)
      : yarnMagnitude(scaling.factor) / yarnMagnitude(scaling.factor, multiplier);
  return { divisors, magnitude: natural * (factor ?? 1) };
}

/** A vector of rotaryWidth / 2 positive factors; undefined when the file has no such tensor. */
async function readFactors(
  file: GgufModelFile,
  name: string,
  rotaryWidth: number,
): Promise<readonly number[] | undefined> {
  const tensor = file.tensors.get(name);
  if (tensor === undefined) {
    return undefined;
  }
  if (tensor.shape.length !== 1 || tensor.shape[0] !== rotaryWidth / 2) {
    throw new FormatError(
      `${file.name}: tensor ${name}, expected shape [${rotaryWidth / 2}], got [${tensor.shape.join(", ")}] - the file is damaged`,
    );
  }
  const values = new Float32Array(tensor.shape[0]);
  await readDecodedRows(file, tensor, 0, 1, values);
  const bad = values.findIndex((value) => !(value > 0 && Number.isFinite(value)));
  if (bad >= 0) {
    throw new FormatError(
      `${file.name}: tensor ${name}, expected factors above 0, got ${values[bad]} at ${bad} - the file is damaged`,
    );
  }
  return [...values];
}
