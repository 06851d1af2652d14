/**
 * A training run as one HTML file, from the lines of its log: how it ended, and curves of loss, learning
 * rate, gradient norm, speed and penalty. Readable without scripts, in light and dark.
 * Invariant: the file refers to nothing outside itself.
 */
import { lineSvg, type Point, type Series } from "./line-figure.ts";
import { escapeText, htmlPage } from "./page.ts";

/** A line of the log: an update, or a validation. */
export type LogEntry =
  | {
      readonly step: number;
      readonly loss: number;
      /** Distance to the teacher; absent in logs of runs before there were teachers. */
      readonly teacher?: number;
      readonly l1: number;
      readonly gradientNorm: number;
      readonly learningRate: number;
      readonly tokens: number;
      readonly tokensPerSecond: number;
    }
  | { readonly step: number; readonly validationLoss: number; readonly isBest: boolean };

type Update = Extract<LogEntry, { loss: number }>;

/** What the log does not say, by name. */
export type RunFacts = Readonly<Record<string, string>>;

/** The file; `title` names the model. The log may be that of a run without a single update. */
export function trainingReportHtml(title: string, log: readonly LogEntry[], facts: RunFacts): string {
  const updates = log.filter((entry) => "loss" in entry);
  const validations = log.filter((entry) => "validationLoss" in entry);
  const curve = (value: (entry: Update) => number): Point[] =>
    updates.map((entry) => ({ x: entry.step, y: value(entry) }));
  const training: Series = { name: "training loss", points: curve(({ loss }) => loss), drawn: "average" };
  const validation: Series = {
    name: "validation loss",
    points: validations.map(({ step, validationLoss }) => ({ x: step, y: validationLoss })),
    drawn: "dots",
  };
  const single = (name: string, points: Point[]): Series => ({ name, points, drawn: "average" });
  const charts = () => [
    section("Loss, nats per predicted token", [training, validation]),
    section("Learning rate", [
      single(
        "learning rate",
        curve(({ learningRate }) => learningRate),
      ),
    ]),
    section("Gradient norm, before clipping", [
      single(
        "gradient norm",
        curve(({ gradientNorm }) => gradientNorm),
      ),
    ]),
    section("Tokens per second", [
      single(
        "tokens/s",
        curve(({ tokensPerSecond }) => tokensPerSecond),
      ),
    ]),
    updates.some(({ teacher }) => teacher !== undefined && teacher > 0)
      ? section("Distance to the teacher, nats per predicted token", [
          single(
            "distance",
            curve(({ teacher }) => teacher ?? 0),
          ),
        ])
      : "",
    updates.some(({ l1 }) => l1 > 0)
      ? section("Sum of |x| of penalised activations, per token", [
          single(
            "sum",
            curve(({ l1 }) => l1),
          ),
        ])
      : "",
  ];
  const rows = Object.entries({ ...summary(log), ...facts }).map(
    ([name, value]) => `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd></div>`,
  );
  return htmlPage(
    title,
    `<dl>${rows.join("\n")}</dl>
${updates.length === 0 ? "<p>No update was made.</p>" : charts().join("\n")}
<p class="note">Lines are averages of neighbouring updates where there are many, bands reach to their extremes; dots are single values.</p>`,
  );
}

/** What a reader wants first. */
function summary(log: readonly LogEntry[]): RunFacts {
  const updates = log.filter((entry) => "loss" in entry);
  const last = updates[updates.length - 1];
  const best = log
    .filter((entry) => "validationLoss" in entry)
    .reduce<{ step: number; validationLoss: number } | undefined>(
      (least, entry) => (least !== undefined && least.validationLoss <= entry.validationLoss ? least : entry),
      undefined,
    );
  return {
    ...(last && {
      "updates, tokens": `${last.step}, ${last.tokens}`,
      "training loss, first and last": `${updates[0].loss.toFixed(4)}, ${last.loss.toFixed(4)}`,
    }),
    ...(best && {
      "best validation loss": `${best.validationLoss.toFixed(4)} (perplexity ${Math.exp(best.validationLoss).toFixed(2)}) at step ${best.step}`,
    }),
  };
}

function section(title: string, series: readonly Series[]): string {
  return `<figure><h2>${escapeText(title)}</h2>
${lineSvg(series, { title, xLabel: "step" })}</figure>`;
}
