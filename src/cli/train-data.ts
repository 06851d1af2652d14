/** Files of `skim train`: training and validation data, the model to start from, its tokenizer. */
import { UnsupportedError } from "../errors.ts";
import type { TrainingBatch } from "../executors/training/training-executor.ts";
import type { HuggingFaceModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { CONTROL_TOKENS, splitAtControls } from "../methods/attention-span/control-tokens.ts";
import type { AttentionSpanRecipe } from "../methods/attention-span/recipe.ts";
import type { Platform } from "../platform/types.ts";
import { withFile } from "../platform/with-file.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import {
  END_OF_TEXT,
  trainBpe,
  vocabularyConfigJson,
  vocabularyJson,
  WordCounter,
} from "../tokenizer/train-bpe.ts";
import { type BatchSource, TextBatches, validationBatches } from "../training/batches.ts";
import type { CorpusEncoder } from "../training/corpus-encoder.ts";
import type { SpanExampleEncoder } from "../training/span-examples.ts";
import { encodeExamples, ExampleBatches, packExamples, parseExamples } from "../training/example-batches.ts";
import { createFreshModel, type FreshTokenizer } from "../training/fresh-model.ts";
import { UsageError } from "./failure.ts";
import { printNote, type Terminal } from "./terminal.ts";
import { holdsExamples, readTextFlag } from "./text-file.ts";
import { freshShape, type TrainFlags } from "./train-flags.ts";

/** Opens a folder; other containers cannot be written back. */
export async function openFolder(platform: Platform, path: string): Promise<HuggingFaceModelFile> {
  const file = await openModelFile(platform, path);
  if (file.container === "huggingface") return file;
  await file.close();
  throw new UnsupportedError(
    `${path}: is a GGUF file, expected a Hugging Face folder - training writes folders`,
  );
}

/** A new model with random weights and a tokenizer that is given or trained on the data. */
export async function makeFreshModel(
  terminal: Terminal,
  platform: Platform,
  flags: TrainFlags,
): Promise<HuggingFaceModelFile> {
  if (flags.tokenizer === undefined) {
    const controls = flags.spans === undefined ? [] : CONTROL_TOKENS;
    const tokenizer = await trainTokenizer(terminal, flags, controls);
    return createFreshModel(freshShape(flags, flags.vocabulary + controls.length), flags.seed, tokenizer);
  }
  return withFile(await openFolder(platform, flags.tokenizer), async (source) => {
    const [json, tokenizer] = [await source.readTokenizer(), await loadTokenizer(source)];
    const { bosId, eosId } = tokenizer;
    if (json === undefined || eosId === undefined) {
      throw new UsageError(`${flags.tokenizer}: expected a tokenizer with an end token - choose another`);
    }
    const files = { json, config: source.tokenizerConfig ?? {}, bosId: bosId ?? eosId, eosId };
    return createFreshModel(freshShape(flags, tokenizer.vocabularySize), flags.seed, files);
  });
}

async function trainTokenizer(
  terminal: Terminal,
  flags: TrainFlags,
  controls: readonly string[],
): Promise<FreshTokenizer> {
  const counter = new WordCounter();
  const text = await readTextFlag(flags.data, "--data");
  if (holdsExamples(flags.data)) {
    for (const { instruction, prompt, answer } of parseExamples(flags.data, text)) {
      counter.add(`${instruction ?? ""}${prompt}`);
      for (const part of splitAtControls(answer).filter((_, i) => i % 2 === 0)) counter.add(part);
    }
  } else {
    for (const document of text.split(END_OF_TEXT)) counter.add(document);
  }
  const vocabulary = trainBpe(counter.counts, flags.vocabulary);
  printNote(
    terminal,
    `tokenizer: ${vocabulary.tokens.length} tokens trained on ${counter.counts.size} distinct words`,
  );
  return {
    json: vocabularyJson(vocabulary, controls),
    config: vocabularyConfigJson(flags.context),
    bosId: 0,
    eosId: 0,
  };
}

/** Micro-batches of the training data. */
export async function readTrainingData(
  terminal: Terminal,
  flags: TrainFlags,
  tokenizer: Tokenizer,
  encoder: CorpusEncoder,
  spans: SpanExampleEncoder | undefined,
): Promise<BatchSource> {
  const shape = { sequences: flags.batch, length: flags.context };
  const text = await readTextFlag(flags.data, "--data");
  if (holdsExamples(flags.data)) {
    const { sequences, tooLong } = encodeExamples(
      flags.data,
      parseExamples(flags.data, text),
      tokenizer,
      encoder,
      flags.context,
      spans,
    );
    printNote(terminal, `data: ${sequences.length} examples, ${tooLong} longer than the context left out`);
    return new ExampleBatches(sequences, shape, flags.seed);
  }
  const tokens = encoder.encodeDocuments(text);
  printNote(terminal, `data: ${tokens.length} tokens`);
  return new TextBatches(flags.data, tokens, shape, flags.seed);
}

/** Micro-batches of the validation data; none without --valid. */
export async function readValidationData(
  flags: TrainFlags,
  tokenizer: Tokenizer,
  encoder: CorpusEncoder,
  spans: SpanExampleEncoder | undefined,
): Promise<TrainingBatch[]> {
  if (flags.valid === undefined) return [];
  const shape = { sequences: flags.batch, length: flags.context };
  const text = await readTextFlag(flags.valid, "--valid");
  if (!holdsExamples(flags.valid)) {
    return validationBatches(encoder.encodeDocuments(text), shape, flags.validTokens);
  }
  const { sequences } = encodeExamples(
    flags.valid,
    parseExamples(flags.valid, text),
    tokenizer,
    encoder,
    flags.context,
    spans,
  );
  return packExamples(sequences, shape);
}

/** The recipe of a model trained with spans: its instruction is that of the first example. */
export async function readSpanRecipe(flags: TrainFlags): Promise<AttentionSpanRecipe | undefined> {
  if (flags.spans === undefined) return undefined;
  if (!holdsExamples(flags.data)) {
    throw new UsageError("train: --spans needs examples, expected a .jsonl file for --data");
  }
  const [first] = parseExamples(flags.data, await readTextFlag(flags.data, "--data"));
  return { method: "attention-span", version: 1, instruction: first?.instruction ?? "", headers: "full" };
}
