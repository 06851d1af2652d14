/**
 * Shapes of published models, for simulators that need sizes and no weights, and for models of random
 * weights. Figures from the models' config.json (Llama-2-7B, Meta-Llama-3-8B, Phi-3-medium-4k,
 * TinyLlama-1.1B and others).
 * Invariant: key/value heads divide the heads; shapes given by dimensions have heads that divide the width.
 */
import { OptionError } from "../errors.ts";
import { nearestName } from "../session/nearest-name.ts";

export interface TransformerShape {
  readonly name: string;
  /** L */
  readonly layers: number;
  /** d, the residual stream */
  readonly width: number;
  /** f, the inner width of the MLP */
  readonly feedForwardWidth: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Of each head's query, key and value; width / heads in most models. */
  readonly headWidth: number;
  readonly vocabularySize: number;
  /** Three MLP matrices (gate, up, down) or two (fc1, fc2). */
  readonly gated: boolean;
}

const NAMED: readonly TransformerShape[] = [
  shape("phi-3-medium", true, [40, 5120, 17920, 40, 10, 32064]),
  shape("phi-3-mini", true, [32, 3072, 8192, 32, 32, 32064]),
  shape("llama-3-8b", true, [32, 4096, 14336, 32, 8, 128256]),
  shape("mistral-7b", true, [32, 4096, 14336, 32, 8, 32000]),
  shape("llama-2-7b", true, [32, 4096, 11008, 32, 32, 32000]),
  shape("tinyllama-1.1b", true, [22, 2048, 5632, 32, 4, 32000]),
  shape("opt-6.7b", false, [32, 4096, 16384, 32, 32, 50272]),
];

export const SHAPE_NAMES: readonly string[] = NAMED.map(({ name }) => name);

/** Names that `skim synth` gave some of them first, and still takes. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ["llama-7b", "llama-2-7b"],
  ["llama3-8b", "llama-3-8b"],
]);

/** Keys of a shape given by its dimensions, all needed. */
const DIMENSION_KEYS = ["layers", "d", "ff", "heads", "kv", "vocab"] as const;

/**
 * A published shape by name, or a gated one as `layers=5,d=64,ff=172,heads=8,kv=4,vocab=512`.
 * Throws OptionError.
 */
export function parseTransformerShape(text: string): TransformerShape {
  return text.includes("=") ? parseDimensions(text).shape : findShape(text, NAMED);
}

/** The one of `shapes` that is called `name`. Throws OptionError. */
export function findShape<Shape extends TransformerShape>(name: string, shapes: readonly Shape[]): Shape {
  const own = OTHER_NAMES.get(name) ?? name;
  const found = shapes.find((candidate) => candidate.name === own);
  if (found !== undefined) return found;
  const names = shapes.map((candidate) => candidate.name);
  const others = [...OTHER_NAMES].flatMap(([other, of]) => (names.includes(of) ? [other] : []));
  throw new OptionError(
    `shape: unknown "${name}" - did you mean "${nearestName(name, [...names, ...others])}"? Known: ${names.join(", ")}, ` +
      "or dimensions like layers=5,d=64,ff=172,heads=8,kv=4,vocab=512",
  );
}

/**
 * A gated shape by its dimensions, and all that is `given`: keys of `more` may be too. Throws OptionError.
 */
export function parseDimensions(
  text: string,
  more: readonly string[] = [],
): { readonly shape: TransformerShape; readonly given: ReadonlyMap<string, number> } {
  const known = [...DIMENSION_KEYS, ...more];
  const given = new Map<string, number>();
  for (const part of text.split(",")) {
    const [key, value = "", ...rest] = part.split("=").map((side) => side.trim());
    if (!known.includes(key)) {
      throw new OptionError(
        `shape: unknown dimension "${key}" - did you mean "${nearestName(key, known)}"? Known: ${known.join(", ")}`,
      );
    }
    if (rest.length > 0 || !/^[1-9]\d{0,7}$/.test(value)) {
      throw new OptionError(`shape: ${key}, expected a positive whole number, got "${value}"`);
    }
    given.set(key, Number(value));
  }
  const sizes = DIMENSION_KEYS.map((key) => {
    const size = given.get(key);
    if (size === undefined) throw new OptionError(`shape: dimension ${key} is missing in "${text}"`);
    return size;
  });
  const parsed = shape(text, true, sizes);
  checkShape(parsed);
  return { shape: parsed, given };
}

/** Throws OptionError for heads that do not divide. */
function checkShape({ name, width, heads, kvHeads, headWidth }: TransformerShape): void {
  if (!Number.isInteger(headWidth)) {
    throw new OptionError(`shape ${name}: d, expected a multiple of the ${heads} heads, got ${width}`);
  }
  if (heads % kvHeads !== 0) {
    throw new OptionError(`shape ${name}: heads, expected a multiple of kv (${kvHeads}), got ${heads}`);
  }
}

/** Sizes in the order of DIMENSION_KEYS. */
function shape(name: string, gated: boolean, sizes: readonly number[]): TransformerShape {
  const [layers, width, feedForwardWidth, heads, kvHeads, vocabularySize] = sizes;
  return {
    name,
    gated,
    layers,
    width,
    feedForwardWidth,
    heads,
    kvHeads,
    headWidth: width / heads,
    vocabularySize,
  };
}
