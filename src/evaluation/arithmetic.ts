/**
 * How well a model evaluates arithmetic expressions, and what it reads while it does: exact answers,
 * statements that could be followed and that name what the worked solution names, and the share of the
 * context that generated tokens attended to (specification of skim for Self-Selected Attention Span,
 * sections 4 and 9). Greedy.
 */
import { visibleBlocks } from "../methods/attention-span/blocks.ts";
import { statedHeaders } from "../methods/attention-span/control-tokens.ts";
import { countPositions, type Interval } from "../program/intervals.ts";
import type { Model } from "../session/model.ts";
import { StatedSpans } from "../session/stated-spans.ts";

/** A line of `skim data arithmetic`. */
export interface ArithmeticProblem {
  readonly instruction?: string | undefined;
  readonly prompt: string;
  readonly answer: string;
  readonly level: number;
  readonly value: number;
}

/** Positions, or blocks of them, that were read, and that full attention would read. */
export interface ReadShare {
  readonly read: number;
  readonly inAll: number;
}

export interface ArithmeticReport {
  readonly level: number;
  readonly problems: number;
  readonly exact: number;
  readonly generatedTokens: number;
  readonly headerTokens: number;
  readonly statements: number;
  readonly validStatements: number;
  /** Statements of lines that the worked solution has too, and references there: named, needed, both. */
  readonly named: number;
  readonly needed: number;
  readonly namedAndNeeded: number;
  /** Over all generated rows, and over bodies alone; blocks of 16 and of 32 positions. */
  readonly all: ReadShare;
  readonly bodies: ReadShare;
  readonly bodiesBy16: ReadShare;
  readonly bodiesBy32: ReadShare;
  readonly milliseconds: number;
}

export interface ArithmeticEvaluation {
  /** Whether stated spans are followed; false reads everything. */
  readonly follow: boolean;
  readonly now: () => number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

type Sums = {
  -readonly [Key in keyof ArithmeticReport]: ArithmeticReport[Key] extends number
    ? number
    : { read: number; inAll: number };
};

/** One report per level, ascending. Throws as generations do. */
export async function evaluateArithmetic(
  model: Model,
  problems: readonly ArithmeticProblem[],
  { follow, now, signal, onProgress }: ArithmeticEvaluation,
): Promise<ArithmeticReport[]> {
  const levels = new Map<number, Sums>();
  for (const [index, problem] of problems.entries()) {
    const sums = levels.get(problem.level) ?? emptySums(problem.level);
    levels.set(problem.level, sums);
    const startedAt = now();
    const { text, tokenIds, promptTokenIds, finishReason } = await model
      .generate(`${problem.instruction ?? ""}${problem.prompt}`, {
        temperature: 0,
        maxTokens: model.contextLength,
        spans: follow ? "follow" : "ignore",
        statements: true,
        ...(signal && { signal }),
      })
      .result();
    if (finishReason === "aborted") signal?.throwIfAborted();
    sums.milliseconds += now() - startedAt;
    sums.problems++;
    if (finalAnswer(text) === String(problem.value)) sums.exact++;
    sums.generatedTokens += tokenIds.length;
    countReads(model, problem, promptTokenIds, tokenIds, sums, follow);
    onProgress?.(index + 1, problems.length);
  }
  return [...levels.values()].sort((a, b) => a.level - b.level);
}

/** What the last line says, behind its statement where it has one. */
function finalAnswer(text: string): string | undefined {
  return text
    .trimEnd()
    .split("\n")
    .at(-1)
    ?.replace(/^.*<\|work\|>/, "")
    .replace(/<\|end\|>.*$/, "");
}

/** Walks the finished sequence again, as the generation did: what each row saw, and what was stated. */
function countReads(
  model: Model,
  problem: ArithmeticProblem,
  prompt: readonly number[],
  generated: readonly number[],
  sums: Sums,
  follow: boolean,
): void {
  const { spans } = model;
  if (spans === undefined) return;
  const { control, decode } = spans.rules;
  const stated = new StatedSpans(spans, prompt, follow);
  const headers: string[] = [];
  let state: "outside" | "header" | "body" = "outside";
  let header: number[] = [];
  // The last token was sampled and not evaluated.
  for (const [i, token] of generated.slice(0, -1).entries()) {
    if (token === control.span) [state, header] = ["header", []];
    if (token === control.work) {
      headers.push(decode(header));
      state = "body";
    }
    if (state === "header") {
      sums.headerTokens++;
      if (token !== control.span) header.push(token);
    }
    const t = prompt.length + i;
    const seen = stated.next(token)?.[0] ?? [{ start: 0, end: t + 1 }];
    if (state === "body") countBody(sums, seen, t);
    if (token === control.end) state = "outside";
  }
  const { statements, valid, positionsRead, positionsInAll } = stated.report();
  sums.statements += statements;
  sums.validStatements += valid;
  add(sums.all, positionsRead, positionsInAll);
  compareReferences(headers, problem, sums);
}

function countBody(sums: Sums, seen: readonly Interval[], t: number): void {
  add(sums.bodies, countPositions(seen), t + 1);
  add(sums.bodiesBy16, visibleBlocks(seen, 16).length, Math.floor(t / 16) + 1);
  add(sums.bodiesBy32, visibleBlocks(seen, 32).length, Math.floor(t / 32) + 1);
}

/** Line by line beside the worked solution. */
function compareReferences(headers: readonly string[], { answer }: ArithmeticProblem, sums: Sums): void {
  statedHeaders(answer).forEach((header, i) => {
    const needed = referencesOf(header);
    const named = referencesOf(headers[i] ?? "");
    sums.needed += needed.size;
    sums.named += named.size;
    sums.namedAndNeeded += [...named].filter((reference) => needed.has(reference)).length;
  });
}

function referencesOf(header: string): Set<string> {
  return new Set(Array.from(header.matchAll(/@\d+/g), ([reference]) => reference));
}

function add(share: { read: number; inAll: number }, read: number, inAll: number): void {
  share.read += read;
  share.inAll += inAll;
}

function emptySums(level: number): Sums {
  const share = () => ({ read: 0, inAll: 0 });
  return {
    level,
    problems: 0,
    exact: 0,
    generatedTokens: 0,
    headerTokens: 0,
    statements: 0,
    validStatements: 0,
    named: 0,
    needed: 0,
    namedAndNeeded: 0,
    all: share(),
    bodies: share(),
    bodiesBy16: share(),
    bodiesBy32: share(),
    milliseconds: 0,
  };
}
