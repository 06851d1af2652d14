/**
 * Arithmetic expressions with worked solutions and the segments that each step needs, which are its two operands and so
 * minimal by construction (specification of skim for Self-Selected Attention Span, arXiv 2404.09336). Seeded by mulberry32;
 * texts are split into training, validation and test by a hash of the expression, so the sets share none.
 */
import { OptionError } from "../../errors.ts";

/** Always visible at the beginning of every arithmetic text. */
export const ARITHMETIC_INSTRUCTION = "Compute.\n";

export interface Level {
  readonly operators: number;
  readonly literals: readonly [low: number, high: number];
  readonly operations: string;
  /** Largest absolute value of any step. */
  readonly cap: number;
}

/** Levels 1 to 5; the last is never trained on. */
export const LEVELS: readonly Level[] = [
  { operators: 2, literals: [1, 9], operations: "+-", cap: 99 },
  { operators: 4, literals: [1, 20], operations: "+-*", cap: 999 },
  { operators: 8, literals: [1, 50], operations: "+-*", cap: 9_999 },
  { operators: 16, literals: [1, 99], operations: "+-*", cap: 99_999 },
  { operators: 32, literals: [1, 99], operations: "+-*", cap: 999_999 },
];

/** Draws before a seed is given up: deep levels reject most of them. */
const MOST_DRAWS = 100_000;

export type Expression =
  | number
  | { readonly op: string; readonly left: Expression; readonly right: Expression };

export interface Problem {
  readonly expression: Expression;
  readonly text: string;
  readonly value: number;
  /** Expressions drawn until one kept within its level's bounds. */
  readonly draws: number;
}

/** A problem of a level from the stream; undefined when none of 100,000 draws keeps within the bounds. */
export function drawProblem(level: Level, random: () => number): Problem | undefined {
  for (let draws = 1; draws <= MOST_DRAWS; draws++) {
    const expression = build(level.operators, level, random);
    const value = valueWithin(expression, level.cap);
    if (value !== undefined) return { expression, text: writeExpression(expression), value, draws };
  }
  return undefined;
}

/** The level of a number from 1 to 5. */
export function levelOf(number: number): Level {
  const level = LEVELS[number - 1];
  if (level === undefined) throw new OptionError(`level: expected 1 to ${LEVELS.length}, got ${number}`);
  return level;
}

function build(operators: number, level: Level, random: () => number): Expression {
  const draw = (low: number, high: number) => low + Math.floor((random() * (high - low + 1)) / 2 ** 32);
  if (operators === 0) return draw(...level.literals);
  const op = level.operations[draw(0, level.operations.length - 1)];
  const onTheLeft = draw(0, operators - 1);
  const left = build(onTheLeft, level, random);
  return { op, left, right: build(operators - 1 - onTheLeft, level, random) };
}

/** The value when every step lies in 0 to cap. */
function valueWithin(expression: Expression, cap: number): number | undefined {
  if (typeof expression === "number") return expression;
  const left = valueWithin(expression.left, cap);
  if (left === undefined) return undefined;
  const right = valueWithin(expression.right, cap);
  if (right === undefined) return undefined;
  const value = apply(expression.op, left, right);
  return value >= 0 && value <= cap ? value : undefined;
}

function apply(op: string, left: number, right: number): number {
  if (op === "+") return left + right;
  return op === "-" ? left - right : left * right;
}

/** The value, whatever its steps. */
export function evaluateExpression(expression: Expression): number {
  if (typeof expression === "number") return expression;
  const { op, left, right } = expression;
  return apply(op, evaluateExpression(left), evaluateExpression(right));
}

/** Inner operations in parentheses, the outermost without, no blanks. */
export function writeExpression(expression: Expression): string {
  if (typeof expression === "number") return String(expression);
  const part = (side: Expression) => (typeof side === "number" ? String(side) : `(${writeExpression(side)})`);
  return `${part(expression.left)}${expression.op}${part(expression.right)}`;
}

/** One step of a solution. */
export interface SolutionLine {
  /** `id:spec` */
  readonly header: string;
  readonly body: string;
  /** Segments that the body needs. */
  readonly references: readonly number[];
}

/**
 * The steps in post-order, then the answer. `long` writes products of numbers with several digits as partial products:
 * `47*36:47*6=282;47*30=1410;282+1410=1692`.
 */
export function solve(problem: Problem, long: boolean): SolutionLine[] {
  const lines: SolutionLine[] = [];
  /** The operand as headers write it, and its value. */
  const visit = (expression: Expression): { readonly name: string; readonly value: number } => {
    if (typeof expression === "number") return { name: String(expression), value: expression };
    const [left, right] = [visit(expression.left), visit(expression.right)];
    const value = apply(expression.op, left.value, right.value);
    const id = lines.length + 1;
    lines.push({
      header: `${id}:${left.name}${expression.op}${right.name}`,
      body: writeStep(left.value, expression.op, right.value, value, long),
      references: referencesOf(left.name, right.name),
    });
    return { name: `@${id}`, value };
  };
  const { name, value } = visit(problem.expression);
  lines.push({ header: `ans:${name}`, body: String(value), references: referencesOf(name) });
  return lines;
}

function referencesOf(...names: readonly string[]): number[] {
  return names.filter((name) => name.startsWith("@")).map((name) => Number(name.slice(1)));
}

function writeStep(left: number, op: string, right: number, value: number, long: boolean): string {
  const equation = `${left}${op}${right}=${value}`;
  if (!long || op !== "*" || left < 10 || right < 10) return equation;
  const digits = [...String(right)].reverse();
  const parts = digits.map((digit, i) => Number(digit) * 10 ** i).filter((part) => part > 0);
  if (parts.length === 1) return equation;
  const products = parts.map((part) => `${left}*${part}=${left * part}`);
  const sums: string[] = [];
  let total = left * parts[0];
  for (const part of parts.slice(1)) {
    sums.push(`${total}+${left * part}=${total + left * part}`);
    total += left * part;
  }
  return `${left}*${right}:${[...products, ...sums].join(";")}`;
}

/** FNV-1a over the text's bytes, 32 bits. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

export type Split = "train" | "valid" | "test";

/** Where an expression belongs: 90, 5 and 5 of 100 hash buckets. */
export function splitOf(text: string): Split {
  const bucket = hashText(text) % 100;
  if (bucket < 90) return "train";
  return bucket < 95 ? "valid" : "test";
}
