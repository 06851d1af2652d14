/**
 * Arithmetic problems as training examples: instruction, expression, worked solution with span statements (or without, for
 * the control that writes fewer tokens). Levels take turns; no expression comes twice, and each belongs to its split.
 */
import { mulberry32 } from "../../models/synthetic/random.ts";
import {
  ARITHMETIC_INSTRUCTION,
  drawProblem,
  type Level,
  levelOf,
  type Problem,
  type Split,
  solve,
  splitOf,
} from "./arithmetic.ts";
import { CONTROL_TOKENS } from "./control-tokens.ts";

export interface ArithmeticOptions {
  readonly levels: readonly number[];
  readonly count: number;
  readonly seed: number;
  readonly split: Split;
  /** Share of the examples that have any number of operators up to their level's; the others have exactly as many. */
  readonly vary: number;
  /** Products of numbers with several digits as partial products. */
  readonly long: boolean;
  /** Headers that state spans; false writes bodies alone. */
  readonly statements: boolean;
}

/** One line of a file. */
export interface ArithmeticExample {
  readonly instruction: string;
  readonly prompt: string;
  readonly answer: string;
  readonly level: number;
  readonly value: number;
}

/** Most expressions that may be drawn in vain before a level is taken to be used up. */
const MOST_REPEATS = 10_000;

/** Fewer than `count` examples when the levels have no more expressions for the split. */
export function* arithmeticExamples(options: ArithmeticOptions): Generator<ArithmeticExample> {
  const { levels, count, seed } = options;
  const random = mulberry32(seed);
  const seen = new Set<string>();
  const left = new Set(levels);
  let made = 0;
  while (left.size > 0) {
    for (const level of levels) {
      if (!left.has(level)) continue;
      const problem = drawNew(levelOf(level), random, options, seen);
      if (problem === undefined) {
        left.delete(level);
        continue;
      }
      if (made === count) return;
      made++;
      yield exampleOf(problem, level, options);
    }
  }
}

function drawNew(
  level: Level,
  random: () => number,
  { split, vary }: ArithmeticOptions,
  seen: Set<string>,
): Problem | undefined {
  for (let repeats = 0; repeats < MOST_REPEATS; repeats++) {
    const problem = drawProblem(
      vary > 0 && random() / 2 ** 32 < vary ? shortened(level, random) : level,
      random,
    );
    if (problem === undefined || seen.has(problem.text) || splitOf(problem.text) !== split) continue;
    seen.add(problem.text);
    return problem;
  }
  return undefined;
}

/** The level with 1 to its number of operators. */
function shortened(level: Level, random: () => number): Level {
  return { ...level, operators: 1 + Math.floor((random() * level.operators) / 2 ** 32) };
}

function exampleOf(
  problem: Problem,
  level: number,
  { long, statements }: ArithmeticOptions,
): ArithmeticExample {
  const [span, work, end] = CONTROL_TOKENS;
  const lines = solve(problem, long).map(({ header, body }) =>
    statements ? `${span}${header}${work}${body}${end}\n` : `${body}\n`,
  );
  return {
    instruction: ARITHMETIC_INSTRUCTION,
    prompt: `${problem.text}\n`,
    answer: lines.join(""),
    level,
    value: problem.value,
  };
}
