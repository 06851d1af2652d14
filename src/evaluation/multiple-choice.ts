/**
 * Multiple choice by likelihood, as EleutherAI's lm-evaluation-harness scores it: the option whose text
 * the model finds most likely after the prompt is its answer; also with the likelihood divided by the
 * option's length in bytes. A question with one option is a text to predict: it has a loss and no
 * accuracy worth the name.
 * Invariant: every option is scored behind the same prompt, and none is left out.
 */
import { OptionError } from "../errors.ts";
import { logProbability } from "../session/logits.ts";
import { prefill } from "../session/sequence-steps.ts";
import type { Sequence } from "../session/sequences.ts";
import type { StepQueue } from "../session/step-queue.ts";
import { scoreTokens } from "./window-score.ts";

export interface ChoiceQuestion {
  /** Token ids, at least one. */
  readonly prompt: readonly number[];
  /** Token ids of each option, at least one each. */
  readonly options: readonly (readonly number[])[];
  /** UTF-8 lengths of the options. */
  readonly optionBytes: readonly number[];
  /** Index of the right option. */
  readonly answer: number;
}

export interface ChoiceReport {
  readonly questions: number;
  /** Share of the questions whose right option is the most likely one. */
  readonly accuracy: number;
  /** The same with likelihoods per byte. */
  readonly normalizedAccuracy: number;
  /** Standard error of the accuracy. */
  readonly standardError: number;
  /** What guessing gets. */
  readonly chance: number;
  /** Mean of -ln p over the tokens of right options, in nats. */
  readonly meanNll: number;
}

export interface ChoiceRun {
  readonly sequence: Sequence;
  readonly queue: StepQueue;
  /** Most tokens of a step. */
  readonly stepTokens: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Scores all questions. OptionError when there are none. */
export async function answerQuestions(
  questions: readonly ChoiceQuestion[],
  run: ChoiceRun,
): Promise<ChoiceReport> {
  if (questions.length === 0)
    throw new OptionError("multiple choice: expected at least one question, got none");
  let [right, rightPerByte, nll, tokens, chance] = [0, 0, 0, 0, 0];
  for (const [done, question] of questions.entries()) {
    const likelihoods = await scoreOptions(question, run);
    const perByte = likelihoods.map((value, i) => value / question.optionBytes[i]);
    right += best(likelihoods) === question.answer ? 1 : 0;
    rightPerByte += best(perByte) === question.answer ? 1 : 0;
    nll -= likelihoods[question.answer];
    tokens += question.options[question.answer].length;
    chance += 1 / question.options.length;
    run.onProgress?.(done + 1, questions.length);
  }
  const count = questions.length;
  const accuracy = right / count;
  return {
    questions: count,
    accuracy,
    normalizedAccuracy: rightPerByte / count,
    standardError: Math.sqrt((accuracy * (1 - accuracy)) / count),
    chance: chance / count,
    meanNll: nll / tokens,
  };
}

/** ln p of each option's tokens given the prompt. */
export async function scoreOptions(
  { prompt, options }: ChoiceQuestion,
  { sequence, queue, stepTokens, signal }: ChoiceRun,
): Promise<number[]> {
  sequence.tokens.length = 0;
  // Options share the prompt, so their first tokens are scored by one row of logits.
  const likelihoods = await prefill(queue, sequence, prompt, stepTokens, signal, (logits) =>
    options.map((option) => logProbability(logits, option[0])),
  );
  for (const [i, option] of options.entries()) {
    sequence.tokens.length = prompt.length;
    likelihoods[i] -= (await scoreTokens(sequence, queue, stepTokens, option, 1, signal)).nll;
  }
  return likelihoods;
}

/** Index of the largest value, the first among equals. */
function best(values: readonly number[]): number {
  return values.reduce((found, value, i) => (value > values[found] ? i : found), 0);
}
