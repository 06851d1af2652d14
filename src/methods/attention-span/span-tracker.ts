/**
 * Which positions each token attends to, from what the model has stated so far (Self-Selected Attention Span, arXiv
 * 2404.09336; state machine and rules are skim's own). Fed with the tokens of one sequence in order; the same code masks
 * training and inference.
 *
 * Prompt, headers and everything outside lines see all that came before. A body (`<|work|>` to `<|end|>`, both included)
 * sees the sink, the segments that its header names, and its own line. Mistakes in a header mean full attention for its
 * body, and are counted. Positions are never moved: a mask skips, nothing else.
 */
import { type Interval, mergeIntervals } from "../../program/intervals.ts";
import { readStatement, type Statement, type StatementError } from "./statement.ts";

/** Longest body; a line that goes on is closed. */
const LONGEST_BODY = 512;

/** Token ids of the vocabulary that the tracker knows. */
export interface ControlTokens {
  readonly span: number;
  readonly work: number;
  readonly end: number;
  /** Starts a sentence of an article; -1 where the vocabulary has none. */
  readonly sentence: number;
  /** Ends a text. */
  readonly endOfText: number;
}

export interface SpanRules {
  readonly control: ControlTokens;
  /** What headers and text outside lines see: all, or the prompt and the headers before them. */
  readonly headers: "full" | "skeleton";
  /** Text of header tokens, decoded together. */
  readonly decode: (tokens: readonly number[]) => string;
}

/** What became of the lines of a sequence. */
export interface SpanCounts {
  /** Finished headers, and those of them that were understood. */
  readonly statements: number;
  readonly valid: number;
  /** Understood headers that ask for everything. */
  readonly everything: number;
  readonly errors: Readonly<Record<StatementError | "nested" | "stray", number>>;
}

interface Line {
  readonly start: number;
  readonly header: number[];
  statement: Statement | undefined;
  /** Visible beside the own line; undefined is everything. */
  visible: readonly Interval[] | undefined;
  bodyStart: number;
}

export class SpanTracker {
  readonly #rules: SpanRules;
  readonly #promptLength: number;
  readonly #sink: Interval;
  readonly #segments = new Map<number, Interval>();
  readonly #headers: Interval[] = [];
  readonly #counts = {
    statements: 0,
    valid: 0,
    everything: 0,
    errors: { long: 0, syntax: 0, id: 0, reference: 0, many: 0, nested: 0, stray: 0 },
  };
  #position = 0;
  #nextId: number;
  #line: Line | undefined;

  /** `sinkLength` positions (at least 1) stay visible always; `prompt` is all that stands before the first generated token. */
  constructor(rules: SpanRules, prompt: readonly number[] | Int32Array, sinkLength: number) {
    this.#rules = rules;
    this.#promptLength = prompt.length;
    this.#sink = { start: 0, end: Math.max(1, sinkLength) };
    const starts = [...prompt.keys()].filter((i) => prompt[i] === rules.control.sentence);
    starts.forEach((start, i) => {
      this.#segments.set(i + 1, { start, end: starts[i + 1] ?? prompt.length });
    });
    if (starts.length === 0) this.#segments.set(0, { start: this.#sink.end, end: prompt.length });
    this.#nextId = starts.length + 1;
  }

  /** Facts so far; a copy. */
  get counts(): SpanCounts {
    return { ...this.#counts, errors: { ...this.#counts.errors } };
  }

  /**
   * Takes the next token of the sequence, prompt included. Returns what its row sees, itself included; undefined is
   * everything up to it.
   */
  next(token: number): readonly Interval[] | undefined {
    const position = this.#position++;
    if (position < this.#promptLength) return undefined;
    const { span, work, end, endOfText } = this.#rules.control;
    if (token === span) return this.#open(position);
    const line = this.#line;
    if (line === undefined) {
      if (token === work) this.#counts.errors.stray++;
      return this.#outside(position, position);
    }
    if (line.statement === undefined) {
      if (token === work) return this.#startBody(line, position);
      if (token === end || token === endOfText) return this.#dropHeader(line, position);
      line.header.push(token);
      return this.#outside(line.start, position);
    }
    const visible = this.#body(line, position);
    if (token === end || token === endOfText || position - line.bodyStart >= LONGEST_BODY) {
      this.#close(line, position);
    }
    return visible;
  }

  #open(position: number): readonly Interval[] | undefined {
    if (this.#line !== undefined) this.#counts.errors.nested++;
    this.#line = {
      start: position,
      header: [],
      statement: undefined,
      visible: undefined,
      bodyStart: position,
    };
    return this.#outside(position, position);
  }

  #startBody(line: Line, position: number): readonly Interval[] | undefined {
    const { decode } = this.#rules;
    const statement = readStatement(decode(line.header), line.header.length, this.#nextId, (id) =>
      this.#segments.has(id),
    );
    this.#counts.statements++;
    if (statement.kind === "error") this.#counts.errors[statement.error]++;
    else this.#counts.valid++;
    if (statement.kind === "everything") this.#counts.everything++;
    line.statement = statement;
    line.bodyStart = position;
    if (statement.kind === "references") {
      const named = statement.segments.flatMap((id) => this.#segments.get(id) ?? []);
      line.visible = mergeIntervals([this.#sink, ...named]);
    }
    return this.#body(line, position);
  }

  /** A line that ends before its body: its header said nothing that could be followed. */
  #dropHeader(line: Line, position: number): readonly Interval[] | undefined {
    this.#counts.statements++;
    this.#counts.errors.syntax++;
    line.statement = { kind: "error", error: "syntax" };
    const visible = this.#outside(line.start, position);
    this.#close(line, position);
    return visible;
  }

  #close(line: Line, position: number): void {
    const { statement } = line;
    this.#headers.push({ start: line.start, end: line.bodyStart + 1 });
    if (statement?.kind === "error" || statement?.final === false) {
      this.#segments.set(this.#nextId++, { start: line.start, end: position + 1 });
    }
    this.#line = undefined;
  }

  #body({ visible, start }: Line, position: number): readonly Interval[] | undefined {
    if (visible === undefined) return undefined;
    return mergeIntervals([...visible, { start, end: position + 1 }]);
  }

  /** Rows of headers and between lines. */
  #outside(start: number, position: number): readonly Interval[] | undefined {
    if (this.#rules.headers === "full") return undefined;
    return mergeIntervals([
      { start: 0, end: this.#promptLength },
      ...this.#headers,
      { start, end: position + 1 },
    ]);
  }
}

/** What every row of a whole sequence sees; the counts of its lines beside it. */
export function trackSequence(
  rules: SpanRules,
  tokens: readonly number[] | Int32Array,
  promptLength: number,
  sinkLength: number,
): { readonly visible: readonly (readonly Interval[] | undefined)[]; readonly counts: SpanCounts } {
  const tracker = new SpanTracker(rules, tokens.slice(0, promptLength), sinkLength);
  const visible = Array.from(tokens, (token) => tracker.next(token));
  return { visible, counts: tracker.counts };
}
