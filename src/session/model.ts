/**
 * A loaded model: the object of the public API. It owns the file, the executor and the slots, turns prompts
 * and messages into token ids, and starts generations.
 * Invariant: a prompt is evaluated whole or refused with numbers (ContextOverflowError);
 * it is never shortened.
 */
import { ContextOverflowError, OptionError } from "../errors.ts";
import type { Executor } from "../executors/executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import type { Program } from "../program/program.ts";
import {
  type ChatMessage,
  type ChatTemplate,
  loadChatTemplate,
  requireChatTemplate,
} from "../tokenizer/chat-template.ts";
import type { EncodeOptions, Tokenizer } from "../tokenizer/tokenizer.ts";
import { generate } from "./generate.ts";
import { Generation } from "./generation.ts";
import { GenerationRecord } from "./generation-record.ts";
import {
  checkGenerationOptions,
  DEFAULT_MAX_TOKENS,
  type GenerationOptions,
  mergeOptions,
} from "./options.ts";
import { freshSeed } from "./random.ts";
import { resolveSampling } from "./sampling.ts";
import { type Sequence, SequencePool } from "./sequences.ts";
import type { SpanSettings } from "./stated-spans.ts";
import { StepQueue } from "./step-queue.ts";

/** What load-model.ts puts together. */
export interface ModelParts {
  readonly file: ModelFile;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly generationDefaults: GenerationOptions;
  readonly spans: SpanSettings | undefined;
  readonly loadMs: number;
  readonly now: () => number;
}

export class Model implements AsyncDisposable {
  readonly file: ModelFile;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  /** Milliseconds that loading took. */
  readonly loadMs: number;
  readonly #defaults: GenerationOptions;
  /** What the checkpoint says about attention spans; undefined for models that state none. */
  readonly spans: SpanSettings | undefined;
  readonly #now: () => number;
  readonly #queue: StepQueue;
  readonly #sequences: SequencePool;
  #template: { readonly loaded: ChatTemplate | undefined } | undefined;
  #disposal: Promise<void> | undefined;

  constructor(parts: ModelParts) {
    this.file = parts.file;
    this.tokenizer = parts.tokenizer;
    this.executor = parts.executor;
    this.loadMs = parts.loadMs;
    this.#defaults = parts.generationDefaults;
    this.spans = parts.spans;
    this.#now = parts.now;
    this.#queue = new StepQueue(parts.executor);
    this.#sequences = new SequencePool(parts.executor.limits.slots);
  }

  /**
   * The checkpoint's chat template, undefined when it brings none. Read when first asked for, so that a
   * template that cannot be parsed (UnsupportedError) does not keep the model from continuing plain text.
   */
  get chatTemplate(): ChatTemplate | undefined {
    this.#template ??= { loaded: loadChatTemplate(this.file) };
    return this.#template.loaded;
  }

  get program(): Program {
    return this.executor.program;
  }

  /** Positions a sequence can have. */
  get contextLength(): number {
    return this.executor.limits.contextLength;
  }

  /**
   * Continues a text or a list of token ids. Text gets the model's BOS, and control tokens written out in it
   * count as such. Throws OptionError (bad options, nothing to evaluate) and ContextOverflowError at once;
   * errors of the computation arrive through the iteration.
   */
  generate(prompt: string | readonly number[], options: GenerationOptions = {}): Generation {
    const ids = typeof prompt === "string" ? this.tokenize(prompt) : [...prompt];
    return this.#generate(ids, options, true);
  }

  /**
   * Answers the last message of a conversation through the model's chat template. Throws
   * UnsupportedError when it has none, and as {@link generate} does. Earlier turns that were generated
   * here are not evaluated again.
   */
  chat(messages: readonly ChatMessage[], options: GenerationOptions = {}): Generation {
    return this.#generate(this.#encodeRendered(this.renderChat(messages)), options, false);
  }

  /** The prompt text that `chat` makes of a conversation; throws as it does. */
  renderChat(messages: readonly ChatMessage[]): string {
    const template = this.chatTemplate ?? requireChatTemplate(this.file);
    return template.render(messages, { addGenerationPrompt: true });
  }

  /** Token ids of a text; by default as `generate` sees it. */
  tokenize(text: string, options: Partial<EncodeOptions> = {}): number[] {
    return this.tokenizer.encode(text, { addSpecial: true, parseSpecial: true, ...options });
  }

  /**
   * Lends a slot whose keys and values may be overwritten, for evaluation and benchmarks: `use` fills
   * `sequence.tokens` from its start through steps of the queue.
   */
  async withSequence<T>(
    use: (sequence: Sequence, queue: StepQueue) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    this.#assertUsable();
    const sequence = await this.#sequences.acquire([], signal);
    try {
      return await use(sequence, this.#queue);
    } finally {
      this.#sequences.release(sequence);
    }
  }

  /** Frees threads and memory and closes the file; idempotent. */
  dispose(): Promise<void> {
    this.#disposal ??= this.executor.dispose().then(() => this.file.close());
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #generate(prompt: readonly number[], given: GenerationOptions, continuesText: boolean): Generation {
    this.#assertUsable();
    const options = mergeOptions(this.#defaults, checkGenerationOptions(given));
    this.#checkPrompt(prompt);
    const seed = options.seed ?? freshSeed();
    const request = {
      prompt,
      continuesText,
      maxTokens: options.maxTokens ?? DEFAULT_MAX_TOKENS,
      sampling: resolveSampling(options, seed),
      options,
    };
    const engine = {
      executor: this.executor,
      tokenizer: this.tokenizer,
      queue: this.#queue,
      sequences: this.#sequences,
      loadMs: this.loadMs,
      spans: this.spans,
    };
    const record = new GenerationRecord(prompt, seed, this.#now);
    return new Generation(
      () => generate(engine, request, record),
      () => record.finish("aborted", this.executor, this.loadMs),
    );
  }

  #checkPrompt(prompt: readonly number[]): void {
    const { vocabularySize, contextLength } = this.program;
    if (prompt.length === 0) {
      throw new OptionError(
        "prompt: no tokens, expected at least one - this model adds no BOS token, so give it some text",
      );
    }
    const stray = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
    if (stray !== undefined) {
      throw new OptionError(
        `prompt: token id out of range, expected 0 to ${vocabularySize - 1}, got ${stray} - use this model's own tokenizer`,
      );
    }
    if (prompt.length > this.contextLength) {
      throw new ContextOverflowError(
        prompt.length,
        this.contextLength,
        this.contextLength < contextLength
          ? `shorten the prompt or load the model with a longer context (--context, contextLength; at most ${contextLength})`
          : "shorten the prompt; the checkpoint allows no longer context",
      );
    }
  }

  /** Templates write BOS themselves or leave it to the tokenizer; either way it comes exactly once. */
  #encodeRendered(text: string): number[] {
    const ids = this.tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
    const { bosId } = this.tokenizer;
    const addsBos = bosId !== undefined && this.tokenizer.encode("", NOTHING_BUT_SPECIAL)[0] === bosId;
    return addsBos && ids[0] !== bosId ? [bosId, ...ids] : ids;
  }

  #assertUsable(): void {
    if (this.#disposal !== undefined) {
      throw new OptionError(`model: ${this.file.name} was disposed - load it again to use it`);
    }
  }
}

const NOTHING_BUT_SPECIAL: EncodeOptions = { addSpecial: true, parseSpecial: true };
