/**
 * Shapes of the models that `skim synth` writes: published ones by name, others by their dimensions. Only shapes, no
 * weights: figures from the models' config.json (TinyLlama-1.1B, Llama-2-7B, Meta-Llama-3-8B, Phi-3-medium-4k).
 */
import { nearestName } from "../session/nearest-name.ts";
import { UsageError } from "./failure.ts";

export interface SynthShape {
  readonly name: string;
  readonly architecture: "llama" | "phi3";
  /** D */
  readonly width: number;
  /** F */
  readonly feedForwardWidth: number;
  readonly layers: number;
  /** H */
  readonly heads: number;
  /** K */
  readonly kvHeads: number;
  /** V */
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly ropeBase: number;
}

const NAMED: readonly SynthShape[] = [
  llama("tinyllama-1.1b", [2048, 5632, 22, 32, 4, 32000], 2048, 10000),
  llama("llama-7b", [4096, 11008, 32, 32, 32, 32000], 4096, 10000),
  llama("llama3-8b", [4096, 14336, 32, 32, 8, 128256], 8192, 500000),
  { ...llama("phi-3-medium", [5120, 17920, 40, 40, 10, 32064], 4096, 10000), architecture: "phi3" },
];

export const SHAPE_NAMES: readonly string[] = NAMED.map(({ name }) => name);

/** Keys of a shape given by dimensions; the last two may be left out. */
const DIMENSION_KEYS = ["d", "ff", "layers", "heads", "kv", "vocab", "ctx", "theta"] as const;
type DimensionKey = (typeof DIMENSION_KEYS)[number];

/** <unk>, <s>, </s> and the 256 bytes: the least a SentencePiece vocabulary with byte fallback can have. */
const LEAST_VOCABULARY = 259;

/**
 * A named shape, or `d=64,ff=172,layers=5,heads=8,kv=4,vocab=512[,ctx=2048][,theta=10000]`; `layers` replaces the
 * shape's own number. Throws UsageError.
 */
export function parseShape(text: string, layers: number | undefined): SynthShape {
  const shape = text.includes("=") ? parseDimensions(text) : findNamed(text);
  const checked = layers === undefined ? shape : { ...shape, layers };
  const { width, heads, kvHeads, vocabularySize } = checked;
  if (width % heads !== 0 || (width / heads) % 2 !== 0) {
    throw new UsageError(
      `synth: d, expected an even number of columns for each of ${heads} heads, got ${width}`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw new UsageError(`synth: heads, expected a multiple of kv (${kvHeads}), got ${heads}`);
  }
  if (vocabularySize < LEAST_VOCABULARY) {
    throw new UsageError(
      `synth: vocab, expected at least ${LEAST_VOCABULARY} (3 control tokens and 256 bytes), got ${vocabularySize}`,
    );
  }
  return checked;
}

function findNamed(name: string): SynthShape {
  const shape = NAMED.find((candidate) => candidate.name === name);
  if (shape !== undefined) return shape;
  throw new UsageError(
    `synth: unknown shape "${name}" - did you mean "${nearestName(name, SHAPE_NAMES)}"? ` +
      `Known: ${SHAPE_NAMES.join(", ")}, or dimensions like d=64,ff=172,layers=5,heads=8,kv=4,vocab=512`,
  );
}

function parseDimensions(text: string): SynthShape {
  const given = new Map<DimensionKey, number>();
  for (const part of text.split(",")) {
    const [key, value, ...rest] = part.split("=").map((side) => side.trim());
    const known = DIMENSION_KEYS.find((candidate) => candidate === key);
    if (known === undefined) {
      throw new UsageError(
        `synth: unknown dimension "${key}" - did you mean "${nearestName(key, DIMENSION_KEYS)}"? Known: ${DIMENSION_KEYS.join(", ")}`,
      );
    }
    const number = rest.length === 0 && /^\d{1,8}$/.test(value ?? "") ? Number(value) : 0;
    if (number < 1)
      throw new UsageError(`synth: ${known}, expected a positive whole number, got "${value ?? ""}"`);
    given.set(known, number);
  }
  const read = (key: DimensionKey, otherwise?: number): number => {
    const value = given.get(key) ?? otherwise;
    if (value === undefined) throw new UsageError(`synth: dimension ${key} is missing in "${text}"`);
    return value;
  };
  const sizes = [read("d"), read("ff"), read("layers"), read("heads"), read("kv"), read("vocab")];
  return llama("random", sizes, read("ctx", 2048), read("theta", 10000));
}

function llama(name: string, sizes: readonly number[], contextLength: number, ropeBase: number): SynthShape {
  const [width, feedForwardWidth, layers, heads, kvHeads, vocabularySize] = sizes;
  return {
    name,
    architecture: "llama",
    width,
    feedForwardWidth,
    layers,
    heads,
    kvHeads,
    vocabularySize,
    contextLength,
    ropeBase,
  };
}
