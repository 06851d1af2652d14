/**
 * Prompts with answers, one JSON object per line: `{"prompt": "...", "answer": "..."}`, and an `instruction`
 * before the prompt where all share one. A sequence is the tokenizer's leading token, instruction, prompt,
 * answer and end token; only answer and end token are predicted. Sequences of different lengths are packed
 * end to end into micro-batches; they do not see each other.
 */
import { z } from "zod";
import { FormatError } from "../errors.ts";
import type { TrainingBatch } from "../executors/training/training-executor.ts";
import { parseJsonLines } from "../formats/json-lines.ts";
import { RandomSource } from "../session/random.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import {
  type BatchShape,
  type BatchSource,
  epochSeed,
  hashTokens,
  packSequences,
  type Sequence,
  shuffled,
} from "./batches.ts";
import type { CorpusEncoder } from "./corpus-encoder.ts";
import type { SpanExampleEncoder } from "./span-examples.ts";

/** One line of a file. */
const exampleSchema = z.object({
  instruction: z.string().optional(),
  prompt: z.string(),
  answer: z.string().min(1),
});

export interface EncodedExamples {
  readonly sequences: readonly Sequence[];
  /** Examples left out because they are longer than the context. */
  readonly tooLong: number;
}

export type Example = z.infer<typeof exampleSchema>;

/** The examples of a file; empty lines are skipped. Throws FormatError naming the first bad line. */
export function parseExamples(name: string, text: string): Example[] {
  return parseJsonLines(name, text, exampleSchema, '{"prompt": ..., "answer": ...}');
}

/** Throws FormatError when no example fits the context. */
export function encodeExamples(
  name: string,
  examples: readonly Example[],
  tokenizer: Tokenizer,
  encoder: CorpusEncoder,
  contextLength: number,
  spans?: SpanExampleEncoder,
): EncodedExamples {
  const leading = tokenizer.encode("", { addSpecial: true, parseSpecial: false });
  const first = leading.length > 0 ? leading.slice(0, 1) : [encoder.endId];
  const sequences: Sequence[] = [];
  let tooLong = 0;
  for (const [index, example] of examples.entries()) {
    const sequence = spans?.encode(example, first, index) ?? encodePlainly(example, first, encoder);
    if (sequence.tokens.length - 1 > contextLength) tooLong++;
    else sequences.push(sequence);
  }
  if (sequences.length === 0) {
    throw new FormatError(
      `${name}: no example fits, expected at least one of at most ${contextLength} tokens, got ${tooLong} longer ones - raise the context`,
    );
  }
  return { sequences, tooLong };
}

function encodePlainly(
  { instruction, prompt, answer }: Example,
  leading: readonly number[],
  encoder: CorpusEncoder,
): Sequence {
  const before = [...leading, ...encoder.encode(`${instruction ?? ""}${prompt}`)];
  return {
    tokens: Int32Array.from([...before, ...encoder.encode(answer), encoder.endId]),
    firstTarget: before.length,
  };
}

/** Sequences packed in the given order into micro-batches of at most sequences x length rows. */
export function packExamples(
  examples: readonly Sequence[],
  { sequences, length }: BatchShape,
): TrainingBatch[] {
  return groupExamples(examples, sequences * length).map(packSequences);
}

export class ExampleBatches implements BatchSource {
  readonly fingerprint: string;
  readonly #examples: readonly Sequence[];
  readonly #rows: number;
  readonly #seed: number;
  #packed: { epoch: number; groups: Sequence[][] } | undefined;

  constructor(examples: readonly Sequence[], { sequences, length }: BatchShape, seed: number) {
    this.#examples = examples;
    this.#rows = sequences * length;
    this.#seed = seed;
    const ids = Int32Array.from(examples.flatMap(({ tokens, firstTarget }) => [...tokens, -firstTarget]));
    const kind = examples.some(({ visible }) => visible !== undefined) ? "masked examples" : "examples";
    this.fingerprint = `${kind} ${hashTokens(ids)} ${sequences}x${length} seed ${seed}`;
  }

  count(epoch: number): number {
    return this.#groups(epoch).length;
  }

  batch(epoch: number, index: number): TrainingBatch {
    return packSequences(this.#groups(epoch)[index]);
  }

  #groups(epoch: number): Sequence[][] {
    if (this.#packed?.epoch !== epoch) {
      const order = shuffled(this.#examples.length, new RandomSource(epochSeed(this.#seed, epoch)));
      const examples = [...order].map((i) => this.#examples[i]);
      this.#packed = { epoch, groups: groupExamples(examples, this.#rows) };
    }
    return this.#packed.groups;
  }
}

function groupExamples(examples: readonly Sequence[], rows: number): Sequence[][] {
  const groups: Sequence[][] = [[]];
  let used = 0;
  for (const example of examples) {
    const needed = example.tokens.length - 1;
    if (used + needed > rows) {
      groups.push([]);
      used = 0;
    }
    groups[groups.length - 1].push(example);
    used += needed;
  }
  return groups;
}
