/**
 * Articles with summaries as training examples that state spans: article sentences are numbered, and before every summary
 * sentence stand the sentences it rests on, found by the words they share (specification of skim for Self-Selected
 * Attention Span, arXiv 2404.09336, section 2.4; the measure is the set of content words).
 */
import { CONTROL_TOKENS } from "./control-tokens.ts";

/** Always visible at the beginning of every summarisation text. */
const SUMMARY_INSTRUCTION = "Summarise.\n";

/** Longer articles are left out. */
export const MOST_SENTENCES = 60;
export const MOST_TOKENS = 1800;

/** Sentences named at most, the least share of words a further one must add, and the least that all must cover. */
const MOST_NAMED = 4;
const LEAST_GAIN = 0.1;
const LEAST_COVERAGE = 0.3;

/** A summary sentence that begins so continues the one before it. */
const CONTINUES = /^(?:he|she|it|they|this|that|these|those)\b/i;

export interface Alignment {
  /** Article sentences from 1, ascending; empty when the statement asks for everything. */
  readonly sentences: readonly number[];
  /** Share of the summary sentence's content words that each added, in the order in which they were found. */
  readonly gains: readonly number[];
  readonly coverage: number;
}

export interface SummaryExample {
  readonly instruction: string;
  readonly prompt: string;
  readonly answer: string;
}

/** Sentences of a text; line ends are ends of sentences too. */
export function splitSentences(text: string): string[] {
  const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });
  return text
    .split(/\n+/)
    .flatMap((line) => Array.from(segmenter.segment(line), ({ segment }) => segment.trim()))
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}

/** Words that carry content: lower case, of at least four letters or with a digit. */
export function contentWords(text: string): Set<string> {
  const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return new Set(words.filter((word) => word.length >= 4 || /\d/.test(word)));
}

/** The article sentences that a summary sentence rests on. */
export function alignSentence(sentence: string, article: readonly string[]): Alignment {
  const words = contentWords(sentence);
  const sources = article.map(contentWords);
  const covered = new Set<string>();
  const found: number[] = [];
  const gains: number[] = [];
  while (found.length < MOST_NAMED && words.size > 0) {
    const added = sources.map((source) =>
      [...words].filter((word) => source.has(word) && !covered.has(word)),
    );
    const most = Math.max(0, ...added.map(({ length }) => length));
    if (most / words.size < LEAST_GAIN) break;
    const best = added.findIndex(({ length }) => length === most);
    for (const word of added[best]) covered.add(word);
    found.push(best + 1);
    gains.push(most / words.size);
  }
  const coverage = words.size === 0 ? 0 : covered.size / words.size;
  return { sentences: coverage < LEAST_COVERAGE ? [] : found.sort((a, b) => a - b), gains, coverage };
}

/** The example of an article; undefined when it has too many sentences or no summary. */
export function summaryExample(article: string, summary: string): SummaryExample | undefined {
  const [sentences, parts] = [article, summary].map((text) => splitSentences(withoutControls(text)));
  if (sentences.length === 0 || sentences.length > MOST_SENTENCES || parts.length === 0) return undefined;
  const [span, work, end, sentence] = CONTROL_TOKENS;
  const lines = parts.map((part, k) => {
    const id = sentences.length + 1 + k;
    const named = alignSentence(part, sentences).sentences;
    const before = k > 0 && CONTINUES.test(part) ? [id - 1] : [];
    const spec =
      named.length === 0 ? "*" : [...named, ...before].map((reference) => `@${reference}`).join(",");
    return `${span}${id}:${spec}${work}${part}${end}\n`;
  });
  return {
    instruction: SUMMARY_INSTRUCTION,
    prompt: sentences.map((text, i) => `${sentence}${i + 1} ${text}\n`).join(""),
    answer: lines.join(""),
  };
}

/** Text that spells control tokens must not become them. */
function withoutControls(text: string): string {
  return text.replaceAll("<|", "< |");
}
