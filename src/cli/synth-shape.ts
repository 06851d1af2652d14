/**
 * Shapes of the models that `skim synth` writes: published ones by name, others by their dimensions. Only
 * shapes, no weights: sizes as the simulators have them, and what a file says besides.
 */
import {
  findShape,
  parseDimensions,
  parseTransformerShape,
  type TransformerShape,
} from "../simulation/model-shapes.ts";
import { UsageError } from "./failure.ts";

export interface SynthShape extends TransformerShape {
  readonly architecture: "llama" | "phi3";
  readonly contextLength: number;
  readonly ropeBase: number;
}

const NAMED: readonly SynthShape[] = [
  { ...parseTransformerShape("tinyllama-1.1b"), architecture: "llama", contextLength: 2048, ropeBase: 10000 },
  { ...parseTransformerShape("llama-2-7b"), architecture: "llama", contextLength: 4096, ropeBase: 10000 },
  { ...parseTransformerShape("llama-3-8b"), architecture: "llama", contextLength: 8192, ropeBase: 500000 },
  { ...parseTransformerShape("phi-3-medium"), architecture: "phi3", contextLength: 4096, ropeBase: 10000 },
];

export const SHAPE_NAMES: readonly string[] = NAMED.map(({ name }) => name);

/** <unk>, <s>, </s> and the 256 bytes: the least a SentencePiece vocabulary with byte fallback can have. */
const LEAST_VOCABULARY = 259;

/**
 * A named shape, or `d=64,ff=172,layers=5,heads=8,kv=4,vocab=512[,ctx=2048][,theta=10000]`; `layers` replaces
 * the shape's own number. Throws OptionError.
 */
export function parseShape(text: string, layers: number | undefined): SynthShape {
  const shape = text.includes("=") ? readDimensions(text) : findNamed(text);
  const checked = layers === undefined ? shape : { ...shape, layers };
  const { width, heads, headWidth, vocabularySize } = checked;
  if (headWidth % 2 !== 0) {
    throw new UsageError(
      `synth: d, expected an even number of columns for each of ${heads} heads, got ${width}`,
    );
  }
  if (vocabularySize < LEAST_VOCABULARY) {
    throw new UsageError(
      `synth: vocab, expected at least ${LEAST_VOCABULARY} (3 control tokens and 256 bytes), got ${vocabularySize}`,
    );
  }
  return checked;
}

/** The shape keeps the name that was asked for: it stands in the file. */
function findNamed(name: string): SynthShape {
  return { ...findShape(name, NAMED), name };
}

function readDimensions(text: string): SynthShape {
  const { shape, given } = parseDimensions(text, ["ctx", "theta"]);
  return {
    ...shape,
    name: "random",
    architecture: "llama",
    contextLength: given.get("ctx") ?? 2048,
    ropeBase: given.get("theta") ?? 10000,
  };
}
