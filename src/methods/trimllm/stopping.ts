/** When a trimming run ends, and which of its sizes is the result. Both look at validation only. */
import type { ChoiceReport } from "../../evaluation/multiple-choice.ts";
import type { TrimState } from "./trim-state.ts";

/** What was asked for; a size meets it when it holds all that is given. */
export interface TrimGoal {
  readonly leastAccuracy: number | undefined;
  readonly mostPerplexity: number | undefined;
  /** Bytes of all tensors. */
  readonly mostBytes: number | undefined;
}

/** Standard errors by which a size may be worse than the whole tuned model where no quality was asked for. */
const ALLOWED_ERRORS = 1;
/** The same for questions without options, as a factor on the perplexity. */
const ALLOWED_PERPLEXITY = 1.05;

/** Whether a quality is what was asked for; where nothing was, whether it is within noise of the whole model's. */
function isGoodEnough(goal: TrimGoal, report: ChoiceReport, whole: ChoiceReport): boolean {
  const { leastAccuracy, mostPerplexity } = goal;
  const perplexity = Math.exp(report.meanNll);
  if (leastAccuracy !== undefined || mostPerplexity !== undefined) {
    return (
      report.accuracy >= (leastAccuracy ?? 0) && perplexity <= (mostPerplexity ?? Number.POSITIVE_INFINITY)
    );
  }
  return whole.chance === 1
    ? perplexity <= ALLOWED_PERPLEXITY * Math.exp(whole.meanNll)
    : report.accuracy >= whole.accuracy - ALLOWED_ERRORS * whole.standardError;
}

/** Why the run ends after its last size; undefined while it goes on. `remaining` counts units that could go. */
export function endReason(
  goal: TrimGoal,
  { rounds }: Pick<TrimState, "rounds">,
  remaining: number,
  mostRounds: number,
): TrimState["end"] {
  const last = rounds[rounds.length - 1].result;
  const whole = rounds[0].result;
  if (last === undefined || whole === undefined) throw new Error("trim: the last size is not measured");
  const asksQuality = goal.leastAccuracy !== undefined || goal.mostPerplexity !== undefined;
  if (asksQuality && !isGoodEnough(goal, last.validation, whole.validation)) return "quality";
  if (goal.mostBytes !== undefined && last.size.tensorBytes <= goal.mostBytes) return "bytes";
  if (remaining <= 1) return "empty";
  return rounds.length > mostRounds ? "units" : undefined;
}

/** The smallest size that meets the goal; where none does, the best one of those that fit, or the smallest. */
export function chooseSize(goal: TrimGoal, { rounds }: Pick<TrimState, "rounds">): TrimState["chosen"] {
  const whole = rounds[0].result;
  const sizes = rounds.flatMap(({ result }, round) => (result === undefined ? [] : [{ round, ...result }]));
  if (whole === undefined) throw new Error("trim: no size is measured");
  const bySize = sizes.toSorted((a, b) => a.size.tensorBytes - b.size.tensorBytes);
  const fitting = bySize.filter(
    ({ size }) => size.tensorBytes <= (goal.mostBytes ?? Number.POSITIVE_INFINITY),
  );
  const good = fitting.find(({ validation }) => isGoodEnough(goal, validation, whole.validation));
  if (good !== undefined) return { round: good.round, meets: true };
  const best = fitting.toSorted((a, b) => a.validation.meanNll - b.validation.meanNll)[0] ?? bySize[0];
  // A byte budget that is held is met where no quality was asked for.
  const asksQuality = goal.leastAccuracy !== undefined || goal.mostPerplexity !== undefined;
  return { round: best.round, meets: goal.mostBytes !== undefined && !asksQuality && fitting.length > 0 };
}
