/**
 * A training run as one HTML file, from the lines of its log: how it ended, and curves of loss, learning rate, gradient norm,
 * speed and penalty. Readable without scripts, in light and dark.
 * Invariant: the file refers to nothing outside itself.
 */
import { lineChartSvg, type Point, type Series } from "./line-chart.ts";
import { escapeText } from "./pareto-plot.ts";

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

const STYLE = `:root{color-scheme:light dark;--text:#1f2328;--faint:#656d76;--back:#fff;--grid:#e4e7eb;--s0:#1d4ed8;--s1:#c2410c}
@media (prefers-color-scheme:dark){:root{--text:#e6edf3;--faint:#9aa4af;--back:#0f1318;--grid:#2a313a;--s0:#7aa2ff;--s1:#ff9d5c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:84rem;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.4rem}h2{font-size:1rem;margin:0}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr));gap:.8rem 2rem;margin:1.5rem 0}
dt{color:var(--faint);font-size:.85rem}dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(34rem,100%),1fr));gap:2rem}
section p{margin:0;color:var(--faint);font-size:.85rem}
svg{width:100%;height:auto;display:block;margin-top:.4rem}svg text{fill:var(--faint);font-size:11px}
.grid{stroke:var(--grid)}.line{fill:none;stroke-width:1.6}.band{opacity:.22;stroke:none}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.band.s0,.dot.s0,.key.s0{fill:var(--s0);background:var(--s0)}.band.s1,.dot.s1,.key.s1{fill:var(--s1);background:var(--s1)}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin:0 .35rem 0 .8rem;vertical-align:-.1rem}`;

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
  const charts = [
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
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeText(title)}</title>
<style>${STYLE}</style>
<h1>${escapeText(title)}</h1>
<dl>${rows.join("\n")}</dl>
<main>
${updates.length === 0 ? "<p>No update was made.</p>" : charts.join("\n")}
</main>
<p>Lines are averages of neighbouring updates where there are many, bands reach to their extremes; dots are single values.</p>
</html>
`;
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
  const shown = series.filter(({ points }) => points.length > 0);
  const keys = shown.map(({ name }, i) => `<span class="key s${i}"></span>${escapeText(name)}`);
  return `<section><h2>${escapeText(title)}</h2>
${shown.length > 1 ? `<p>${keys.join("")}</p>` : ""}
${lineChartSvg(title, series)}</section>`;
}
