/**
 * Pre-tokenizers of tokenizer.json that @huggingface/tokenizers 0.2 applies differently from the original
 * library, rewritten into ones it applies the same. Source: pre_tokenizers/*.rs of the Hugging Face
 * tokenizers library. Differences met here: `Split` knows only Isolated, and Removed without literals or
 * groups; `Digits` only ASCII; `Whitespace` only ASCII words; `Punctuation` always joins runs; `Metaspace`
 * never splits and ignores `add_prefix_space`; \s is JavaScript's.
 * Invariant: a rewritten pipeline cuts the same text into the same words.
 */
import { isJsonObject } from "../formats/json-file.ts";
import type { Json, JsonObject } from "../formats/model-file.ts";
import { GPT_2, PUNCTUATION } from "./pre-tokenizers.ts";
import { SPACED_WORD, SPACE_INSIDE, SPACE_SYMBOL } from "./subword-model.ts";

const isolate = (regex: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

const sequence = (...pretokenizers: JsonObject[]): JsonObject => ({ type: "Sequence", pretokenizers });

/** The pre-tokenizer to give the library in place of `config`. */
export function rewritePreTokenizer(config: JsonObject | null): JsonObject | null {
  switch (config?.type) {
    case "Sequence":
      return Array.isArray(config.pretokenizers)
        ? {
            ...config,
            pretokenizers: config.pretokenizers.map((part: Json) =>
              isJsonObject(part) ? rewritePreTokenizer(part) : part,
            ),
          }
        : config;
    case "Split":
      return rewriteSplit(config);
    case "Digits":
      return isolate(config.individual_digits === true ? "\\p{N}" : "\\p{N}+");
    case "Punctuation":
      return rewriteSplit({ ...config, type: "Split", pattern: { Regex: PUNCTUATION } });
    case "Whitespace":
      return { type: "Split", pattern: { Regex: "\\w+|[^\\w\\s]+" }, behavior: "Removed", invert: true };
    case "WhitespaceSplit":
      return rewriteSplit({ type: "Split", pattern: { Regex: "\\s+" }, behavior: "Removed", invert: false });
    case "ByteLevel":
      // The prefix space comes before the pattern, so it cannot be taken apart.
      return config.add_prefix_space !== true && config.use_regex !== false
        ? sequence(isolate(GPT_2), { ...config, use_regex: false })
        : config;
    case "Metaspace":
      return rewriteMetaspace(config);
    default:
      return config;
  }
}

/** Behaviours that merge a match with its neighbours, as expressions whose matches are the merged pieces. */
function rewriteSplit(config: JsonObject): JsonObject {
  const match = patternSource(config.pattern);
  if (match === undefined) return config;
  const gap = `(?:(?!${match})[\\s\\S])`;
  switch (config.behavior) {
    case "Removed":
      // What the library keeps of an inverted split is what matches.
      return { ...isolate(config.invert === true ? match : `${gap}+`), behavior: "Removed", invert: true };
    case "MergedWithPrevious":
      return isolate(`${gap}+${match}|${match}|${gap}+`);
    case "MergedWithNext":
      return isolate(`${match}${gap}+|${match}|${gap}+`);
    case "Contiguous":
      return isolate(`${match}+`);
    default:
      // Isolated keeps matches and gaps alike, so inverting changes nothing.
      return isolate(match);
  }
}

function patternSource(pattern: Json | undefined): string | undefined {
  if (!isJsonObject(pattern)) return undefined;
  if (typeof pattern.Regex === "string") return `(?:${pattern.Regex})`;
  if (typeof pattern.String === "string")
    return `(?:${pattern.String.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")})`;
  return undefined;
}

function rewriteMetaspace(config: JsonObject): JsonObject {
  const replacement = typeof config.replacement === "string" ? config.replacement : SPACE_SYMBOL;
  const scheme = config.prepend_scheme ?? (config.add_prefix_space === false ? "never" : "always");
  const metaspace = { ...config, prepend_scheme: scheme };
  if (config.split === false) return metaspace;
  return sequence(
    metaspace,
    rewriteSplit({ type: "Split", pattern: { String: replacement }, behavior: "MergedWithNext" }),
  );
}

/**
 * Cuts text before each run of spaces where that changes no result, which lets the library remember words
 * instead of merging the whole text at once. True of every SentencePiece vocabulary whose tokens hold
 * spaces only in front.
 */
export function splitIndependentWords(preTokenizer: JsonObject | null, model: JsonObject): JsonObject | null {
  const seesWholeText =
    preTokenizer === null || (preTokenizer.type === "Metaspace" && preTokenizer.split === false);
  const { vocab, merges } = model;
  if (!seesWholeText || !Array.isArray(merges) || !isJsonObject(vocab)) return preTokenizer;
  const tokens = Object.keys(vocab);
  const usesSpaceSymbol = tokens.some((token) => token.startsWith(SPACE_SYMBOL));
  if (!usesSpaceSymbol || tokens.some((token) => SPACE_INSIDE.test(token))) return preTokenizer;
  const words = isolate(SPACED_WORD);
  return preTokenizer === null ? words : sequence(preTokenizer, words);
}
