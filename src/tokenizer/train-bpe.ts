/**
 * Trains a byte-level BPE vocabulary (Sennrich et al. 2016 on the byte alphabet of Radford et al. 2019):
 * count words, then merge the most frequent adjacent pair until the vocabulary is full. Pair counts are kept
 * up to date merge by merge, so the work is that of the words a merge touches, not of the text.
 * Invariant: the same text and size give the same vocabulary; ties go to the pair of smaller ids.
 */
import { OptionError } from "../errors.ts";
import type { JsonObject } from "../formats/model-file.ts";
import { BYTE_CHARACTERS, toByteCharacters } from "./byte-level-alphabet.ts";
import { PairQueue } from "./pair-queue.ts";
import { findPreTokenizer, splitWords } from "./pre-tokenizers.ts";

/** The control token that stands between documents, begins and ends every text. */
export const END_OF_TEXT = "<|endoftext|>";

/** Pairs are one number, left * PAIR_BASE + right: ids stay below it. */
const PAIR_BASE = 1 << 21;
const SMALLEST_VOCABULARY = 257;

export interface TrainedVocabulary {
  /** Tokens by id, control token first, then the 256 bytes, then merges. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

/** Counts the words of texts; feed it documents one by one. */
export class WordCounter {
  readonly counts = new Map<string, number>();
  readonly #patterns = findPreTokenizer("gpt-2").patterns;

  add(text: string): void {
    for (const word of splitWords(text, this.#patterns)) {
      this.counts.set(word, (this.counts.get(word) ?? 0) + 1);
    }
  }
}

/** Throws OptionError when `size` cannot hold the bytes or the text has too few pairs to fill it. */
export function trainBpe(counts: ReadonlyMap<string, number>, size: number): TrainedVocabulary {
  if (!Number.isSafeInteger(size) || size < SMALLEST_VOCABULARY || size >= PAIR_BASE) {
    throw new OptionError(
      `vocabulary: expected ${SMALLEST_VOCABULARY} to ${PAIR_BASE - 1} tokens (256 bytes and ${END_OF_TEXT}), got ${size}`,
    );
  }
  const training = new BpeTraining(counts);
  while (training.tokens.length < size) {
    if (!training.mergeBest()) {
      throw new OptionError(
        `vocabulary: the text gives ${training.tokens.length} tokens, expected ${size} - use more text or a smaller vocabulary`,
      );
    }
  }
  return { tokens: training.tokens, merges: training.merges };
}

/**
 * tokenizer.json of a trained vocabulary; texts begin with the control token.
 * `controls` get the ids after all others.
 */
export function vocabularyJson(
  { tokens, merges }: TrainedVocabulary,
  controls: readonly string[] = [],
): JsonObject {
  const control = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      { id: 0, content: END_OF_TEXT, ...control },
      ...controls.map((content, i) => ({ id: tokens.length + i, content, ...control })),
    ],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: END_OF_TEXT, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { [END_OF_TEXT]: { id: END_OF_TEXT, ids: [0], tokens: [END_OF_TEXT] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...tokens, ...controls].map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => [left, right]),
    },
  };
}

/** tokenizer_config.json that goes with it. */
export function vocabularyConfigJson(contextLength: number): JsonObject {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: END_OF_TEXT,
    eos_token: END_OF_TEXT,
    clean_up_tokenization_spaces: false,
    model_max_length: contextLength,
  };
}

class BpeTraining {
  readonly tokens: string[] = [END_OF_TEXT, ...BYTE_CHARACTERS];
  readonly merges: [string, string][] = [];
  /** Symbols of each distinct word, and how often the word occurs. */
  readonly #words: number[][] = [];
  readonly #weights: number[] = [];
  readonly #counts = new Map<number, number>();
  /** Words a pair was seen in; some may have lost it since. */
  readonly #places = new Map<number, Set<number>>();
  readonly #queue = new PairQueue();

  constructor(counts: ReadonlyMap<string, number>) {
    const utf8 = new TextEncoder();
    const ids = new Map(this.tokens.map((token, id) => [token, id]));
    for (const [word, weight] of counts) {
      const symbols = Array.from(toByteCharacters(utf8.encode(word)), (character) => ids.get(character) ?? 0);
      const index = this.#words.push(symbols) - 1;
      this.#weights.push(weight);
      for (let i = 0; i + 1 < symbols.length; i++) this.#count(symbols[i], symbols[i + 1], index, weight);
    }
    for (const [pair, count] of this.#counts) this.#queue.push(pair, count);
  }

  /** Makes the most frequent pair a token; false when no pair is left. */
  mergeBest(): boolean {
    for (let best = this.#queue.pop(); best !== undefined; best = this.#queue.pop()) {
      if (this.#counts.get(best.pair) !== best.count) continue; // an entry from before the count changed
      const [left, right] = [Math.floor(best.pair / PAIR_BASE), best.pair % PAIR_BASE];
      const merged = this.tokens.push(this.tokens[left] + this.tokens[right]) - 1;
      this.merges.push([this.tokens[left], this.tokens[right]]);
      const changed = new Set<number>();
      for (const index of this.#places.get(best.pair) ?? [])
        this.#mergeIn(index, left, right, merged, changed);
      this.#counts.delete(best.pair);
      this.#places.delete(best.pair);
      changed.delete(best.pair);
      for (const pair of changed) {
        const count = this.#counts.get(pair) ?? 0;
        if (count > 0) this.#queue.push(pair, count);
        else this.#counts.delete(pair);
      }
      return true;
    }
    return false;
  }

  #mergeIn(index: number, left: number, right: number, merged: number, changed: Set<number>): void {
    const symbols = this.#words[index];
    const weight = this.#weights[index];
    const result: number[] = [];
    for (let i = 0; i < symbols.length; i++) {
      if (symbols[i] !== left || symbols[i + 1] !== right) {
        result.push(symbols[i]);
        continue;
      }
      // The neighbours as they are now: the left one may itself be a symbol merged a moment ago.
      const before = result.at(-1);
      const after = symbols[i + 2];
      if (before !== undefined) {
        changed.add(this.#count(before, left, index, -weight));
        changed.add(this.#count(before, merged, index, weight));
      }
      if (after !== undefined) {
        changed.add(this.#count(right, after, index, -weight));
        changed.add(this.#count(merged, after, index, weight));
      }
      result.push(merged);
      i++;
    }
    this.#words[index] = result;
  }

  /** Adds to a pair's count; returns the pair. */
  #count(left: number, right: number, index: number, weight: number): number {
    const pair = left * PAIR_BASE + right;
    this.#counts.set(pair, (this.#counts.get(pair) ?? 0) + weight);
    if (weight > 0) {
      const places = this.#places.get(pair);
      if (places === undefined) this.#places.set(pair, new Set([index]));
      else places.add(index);
    }
    return pair;
  }
}
