/**
 * The three option objects of the public API: model (what is loaded), engine (what it runs on), generation
 * (how text is made). They are checked once, here, by zod schemas; inside they are passed whole and trusted.
 * Invariant: no key is ever dropped. An unknown one throws an OptionError that names the nearest known key.
 */
import { z } from "zod";
import { OptionError } from "../errors.ts";
import type { ColumnStore } from "../executors/column-store.ts";
import { EXECUTORS, type ExecutorName } from "../executors/executor.ts";
import type { CacheSettings } from "../methods/dynamic-input-pruning/cached-columns.ts";
import { CAUSAL_POLICIES } from "../methods/dynamic-input-pruning/eviction.ts";
import { SIMD_BUILDS, type SimdBuild } from "../platform/simd-variants.ts";
import { KEY_VALUE_FORMATS, type KeyValueFormat } from "../program/key-value-format.ts";
import { WEIGHT_STORAGES, type WeightStorage } from "../program/weight-storage.ts";
import { nearestName } from "./nearest-name.ts";

export const SPAN_WAYS = ["follow", "ignore"] as const;

/** What is loaded, and how it is stored. */
export interface ModelOptions {
  /** Positions per sequence; default the checkpoint's own length, at most {@link DEFAULT_CONTEXT_LENGTH}. */
  readonly contextLength?: number | undefined;
  /** Storage of weights in kernel memory; default `auto`, as near to the file's format as kernels exist. */
  readonly weightFormat?: WeightStorage | undefined;
  /** Storage of keys and values; default `f16`. */
  readonly keyValueFormat?: KeyValueFormat | undefined;
  /**
   * Dynamic Input Pruning: the share of the feed-forward weights that a generated token reads, 0.00085 to 1.
   * Prompts are evaluated densely. Default: everything is read, by the dense kernels.
   */
  readonly density?: number | undefined;
  /** Instead of `density`: kept share of the columns of gate and up, 0 to 1; left out they stay dense. */
  readonly inputDensity?: number | undefined;
  /**
   * Instead of `density`: kept share of the columns of down, 0 to 1;
   * left out it stays dense (alone: GLU pruning).
   */
  readonly gluDensity?: number | undefined;
}

/** What the model runs on. */
export interface EngineOptions {
  /** `wasm` (default) is the fast path, `reference` the readable oracle. */
  readonly executor?: ExecutorName | undefined;
  /** Threads that share each op; default one per core. */
  readonly threads?: number | undefined;
  /** Kernel build: probe for relaxed SIMD (default) or force one. */
  readonly simd?: SimdBuild | undefined;
  /** Most tokens one step may carry; longer prompts are processed in pieces of this many. Default 128. */
  readonly stepTokens?: number | undefined;
  /** Sequences kept alive at once, each with its own keys and values; default 1. */
  readonly slots?: number | undefined;
  /**
   * Columns that stay in a file, for models larger than the memory (`openColumnStore`); wasm executor only.
   */
  readonly columnStore?: ColumnStore | undefined;
  /**
   * Cache-aware pruning (DIP-CA) with all weights in memory: choices of columns prefer what a cache of
   * `share` of them would hold. Needs a density; one sequence at a time unless gamma is 1, which changes
   * nothing but the counts.
   */
  readonly columnCache?: CacheSettings | undefined;
  /** Called while weights are loaded. */
  readonly onProgress?: ((loadedBytes: number, totalBytes: number) => void) | undefined;
}

/** How text is made. Filters apply in the order written in sampling.ts. */
export interface GenerationOptions {
  /** Most tokens to generate; default 512. The end of the context ends a generation too (`length`). */
  readonly maxTokens?: number | undefined;
  /** 0 picks the most probable token (greedy); default 0.8. */
  readonly temperature?: number | undefined;
  /** Keep the k most probable tokens; 0 keeps all; default 40. */
  readonly topK?: number | undefined;
  /** Keep the smallest set of most probable tokens whose probabilities reach p; 1 keeps all; default 0.95. */
  readonly topP?: number | undefined;
  /** Keep tokens at least p times as probable as the best one; 0 keeps all; default 0.05. */
  readonly minP?: number | undefined;
  /**
   * Divides positive and multiplies negative logits of tokens seen before (prompt included); default 1, off.
   */
  readonly repetitionPenalty?: number | undefined;
  /** Subtracted once from logits of tokens generated before; default 0. */
  readonly presencePenalty?: number | undefined;
  /** Subtracted from logits once per earlier generation of the token; default 0. */
  readonly frequencyPenalty?: number | undefined;
  /** Added to the logits of these token ids. */
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  /** Unsigned 32-bit seed of the sampler; default a fresh one, reported in the result. */
  readonly seed?: number | undefined;
  /** Texts that end the generation; neither they nor anything after them is emitted. */
  readonly stop?: readonly string[] | undefined;
  /** Report log-probabilities: of the chosen token, and of this many most probable ones (0 for none). */
  readonly logprobs?: number | undefined;
  /**
   * For models that state their attention spans: `follow` (default) reads what they name,
   * `ignore` everything.
   */
  readonly spans?: (typeof SPAN_WAYS)[number] | undefined;
  /** Show the statements of such models and their control tokens in the text; default false. */
  readonly statements?: boolean | undefined;
  /** Stops prefill and decode; the generation then ends with reason `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

export interface LoadOptions {
  readonly model?: ModelOptions | undefined;
  readonly engine?: EngineOptions | undefined;
  /** Defaults for every generation of this model. */
  readonly generation?: GenerationOptions | undefined;
}

/** Long enough for most conversations, short enough that keys and values stay small beside the weights. */
export const DEFAULT_CONTEXT_LENGTH = 4096;
/**
 * Prompt tokens per step: their activations stay in the second-level cache, and a step can be aborted soon.
 */
export const DEFAULT_STEP_TOKENS = 128;
export const DEFAULT_MAX_TOKENS = 512;

const count = z.number().int().min(1);
const fraction = z.number().min(0).max(1);

const modelSchema = z.strictObject({
  contextLength: count.optional(),
  weightFormat: z.enum(WEIGHT_STORAGES).optional(),
  keyValueFormat: z.enum(KEY_VALUE_FORMATS).optional(),
  density: fraction.optional(),
  inputDensity: fraction.optional(),
  gluDensity: fraction.optional(),
});

const engineSchema = z.strictObject({
  executor: z.enum(EXECUTORS).optional(),
  threads: count.max(256).optional(),
  simd: z.enum(SIMD_BUILDS).optional(),
  stepTokens: count.max(8192).optional(),
  slots: count.max(1024).optional(),
  columnStore: z.custom<ColumnStore>((value) => typeof value === "object" && value !== null).optional(),
  columnCache: z
    .strictObject({ gamma: fraction, policy: z.enum(CAUSAL_POLICIES), share: fraction })
    .optional(),
  onProgress: z.custom<EngineOptions["onProgress"]>((value) => typeof value === "function").optional(),
});

const generationSchema = z.strictObject({
  maxTokens: count.optional(),
  temperature: z.number().min(0).max(100).optional(),
  topK: z.number().int().min(0).optional(),
  topP: z.number().gt(0).max(1).optional(),
  minP: z.number().min(0).max(1).optional(),
  repetitionPenalty: z.number().gt(0).max(100).optional(),
  presencePenalty: z.number().min(-100).max(100).optional(),
  frequencyPenalty: z.number().min(-100).max(100).optional(),
  logitBias: z.record(z.string().regex(/^\d+$/), z.number()).optional(),
  seed: z.number().int().min(0).max(0xffffffff).optional(),
  stop: z.array(z.string().min(1)).max(64).optional(),
  logprobs: z.number().int().min(0).optional(),
  spans: z.enum(SPAN_WAYS).optional(),
  statements: z.boolean().optional(),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal).optional(),
});

const loadSchema = z.strictObject({
  model: modelSchema.optional(),
  engine: engineSchema.optional(),
  generation: generationSchema.optional(),
});

/** Checks options of `loadModel`; throws OptionError. */
export function checkLoadOptions(options: LoadOptions): {
  model: ModelOptions;
  engine: EngineOptions;
  generation: GenerationOptions;
} {
  check(loadSchema, options, "options");
  return {
    model: options.model ?? {},
    engine: options.engine ?? {},
    generation: options.generation ?? {},
  };
}

/** Checks options of one generation; throws OptionError. */
export function checkGenerationOptions(options: GenerationOptions): GenerationOptions {
  check(generationSchema, options, "generation options");
  return options;
}

/** Later layers win where they say something; `undefined` says nothing. */
export function mergeOptions(...layers: readonly GenerationOptions[]): GenerationOptions {
  const said = layers.flatMap((layer) => Object.entries(layer).filter(([, value]) => value !== undefined));
  return Object.fromEntries(said);
}

function check(schema: z.ZodType, value: unknown, what: string): void {
  const outcome = schema.safeParse(value);
  if (outcome.success) return;
  const issue = outcome.error.issues[0];
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0];
    const known = knownKeys(schema, path);
    throw new OptionError(
      `${[what, ...path].join(".")}: unknown key "${key}" - did you mean "${nearestName(key, known)}"? ` +
        `Known keys: ${known.join(", ")}`,
    );
  }
  const problem = issue.message.replace(/^Invalid input: /, "");
  throw new OptionError(`${[what, ...path].join(".")}: ${problem} - see the option's documentation`);
}

/** Keys of the object schema found by walking `path` from `schema`. */
function knownKeys(schema: z.ZodType, path: readonly string[]): string[] {
  let current: unknown = schema;
  for (const step of path) {
    const child = current instanceof z.ZodObject ? current.shape[step] : undefined;
    current = child instanceof z.ZodOptional ? child.unwrap() : child;
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}
