/**
 * The examples of a trimming run, split into what is learned, what decides which unit goes (calibration), what decides the
 * size (validation) and what is looked at once (test).
 * Invariant: the four are disjoint by content; questions that occur twice are kept once, those of the test set nowhere else.
 */
import { FormatError } from "../../errors.ts";
import type { ChoiceQuestion } from "../../evaluation/multiple-choice.ts";
import { questionLength } from "../../evaluation/choice-questions.ts";
import { RandomSource } from "../../session/random.ts";
import { hashTokens, type Sequence, shuffled } from "../../training/batches.ts";

export interface SplitSizes {
  readonly calibration: number;
  readonly validation: number;
  /** Most tokens of a question. */
  readonly context: number;
  readonly seed: number;
}

export interface TrimData {
  readonly train: readonly ChoiceQuestion[];
  readonly calibration: readonly ChoiceQuestion[];
  readonly validation: readonly ChoiceQuestion[];
  readonly test: readonly ChoiceQuestion[];
  /** Left out: longer than the context, twice in the data, or in the test set too. */
  readonly left: { readonly tooLong: number; readonly twice: number; readonly inTest: number };
}

/** Splits `questions`; `test` comes from elsewhere. FormatError when too few are left to train on. */
export function splitQuestions(
  name: string,
  questions: readonly ChoiceQuestion[],
  test: readonly ChoiceQuestion[],
  { calibration, validation, context, seed }: SplitSizes,
): TrimData {
  const fits = (question: ChoiceQuestion) => questionLength(question) < context;
  const tested = new Set(test.map(contentOf));
  const seen = new Set<string>();
  const left = { tooLong: 0, twice: 0, inTest: 0 };
  const kept = questions.filter((question) => {
    const content = contentOf(question);
    const reason = !fits(question)
      ? "tooLong"
      : tested.has(content)
        ? "inTest"
        : seen.has(content)
          ? "twice"
          : undefined;
    if (reason !== undefined) left[reason]++;
    else seen.add(content);
    return reason === undefined;
  });
  if (kept.length <= calibration + validation) {
    throw new FormatError(
      `${name}: ${kept.length} different examples fit, expected more than the ${calibration} for calibration and ${validation} for validation - use more data or smaller splits`,
    );
  }
  const order = [...shuffled(kept.length, new RandomSource(seed))].map((i) => kept[i]);
  return {
    calibration: order.slice(0, calibration),
    validation: order.slice(calibration, calibration + validation),
    train: order.slice(calibration + validation),
    test: test.filter(fits),
    left,
  };
}

/** Windows of a token stream as texts to predict. */
export function textQuestions(tokens: Int32Array, context: number): ChoiceQuestion[] {
  const length = context - 1;
  const count = Math.floor((tokens.length - 1) / length);
  return Array.from({ length: count }, (_, i) => {
    const [first, ...rest] = tokens.subarray(i * length, (i + 1) * length);
    return { prompt: [first], options: [rest], optionBytes: [rest.length], answer: 0 };
  });
}

/** What training sees of a question: the right option is predicted, the prompt is not; `endId` follows where given. */
export function trainingSequence(question: ChoiceQuestion, endId: number | undefined): Sequence {
  const { prompt, options, answer } = question;
  const end = endId === undefined ? [] : [endId];
  return { tokens: Int32Array.from([...prompt, ...options[answer], ...end]), firstTarget: prompt.length };
}

/** Hash of a split: changes when any of its questions does. */
export function hashQuestions(questions: readonly ChoiceQuestion[]): string {
  const ids = questions.flatMap(({ prompt, options, answer }) => [...prompt, ...options.flat(), -answer - 1]);
  return hashTokens(Int32Array.from(ids));
}

function contentOf({ prompt, options }: ChoiceQuestion): string {
  return JSON.stringify([prompt, options]);
}
