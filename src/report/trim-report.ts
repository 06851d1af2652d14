/** A trimming run as one HTML file: the plot of its sizes, a table of them, and what the choice went by. */
import type { TrimState } from "../methods/trimllm/trim-state.ts";
import { escapeText, htmlPage, htmlTable } from "./page.ts";
import { paretoSvg } from "./pareto-figure.ts";

/** The file; `title` names the model and the data. At least one size must be measured. */
export function trimReportHtml(title: string, state: TrimState): string {
  const sizes = state.rounds.flatMap((round, index) =>
    round.result === undefined ? [] : [{ ...round, index, result: round.result }],
  );
  const { chance } = sizes[0].result.validation;
  const hasOptions = chance < 1;
  const svg = paretoSvg(
    sizes.map(({ index, result }) => ({
      name: String(index),
      cost: result.size.readBytes / 1e6,
      quality: hasOptions ? 100 * result.validation.accuracy : Math.exp(result.validation.meanNll),
      ...(index === state.chosen?.round ? { ring: "chosen on validation" } : {}),
    })),
    {
      title,
      costLabel: "MB of weights read per generated token",
      qualityLabel: hasOptions ? "validation accuracy, %" : "validation perplexity",
      better: hasOptions ? "higher" : "lower",
      level: hasOptions ? { value: 100 * chance, label: `chance ${(100 * chance).toFixed(1)} %` } : undefined,
    },
  );
  const rows = sizes.map(({ index, dropped, tied, result: { validation, size } }) => [
    String(index),
    dropped.join(", ") || "nothing",
    String(tied),
    percent(validation.accuracy),
    Math.exp(validation.meanNll).toFixed(3),
    (size.parameters / 1e6).toFixed(3),
    (size.tensorBytes / 1e6).toFixed(3),
    (size.readBytes / 1e6).toFixed(3),
    String(size.keyValueBytes),
    (sizes[0].result.size.readBytes / size.readBytes).toFixed(2),
  ]);
  const head = [
    "size",
    "dropped",
    "tied",
    "accuracy %",
    "perplexity",
    "M parameters",
    "MB",
    "MB read per token",
    "KV bytes per position",
    "speed bound",
  ];
  return htmlPage(
    title,
    `<p>${escapeText(summary(state, hasOptions))}</p>
<figure>${svg}</figure>
${htmlTable(head, rows)}
<p class="note">The speed bound is bytes read by size 0 over bytes read, without keys and values: more than that no kernel can gain.</p>`,
  );
}

function summary({ chosen, end, test, trained, deletions, untuned }: TrimState, hasOptions: boolean): string {
  const quality = (report: { accuracy: number; meanNll: number }) =>
    hasOptions ? `${percent(report.accuracy)} %` : `perplexity ${Math.exp(report.meanNll).toFixed(3)}`;
  const parts = [
    trained === undefined
      ? ""
      : `Trained blocks: ${trained.blocks.join(", ")} (r = ${trained.share}, frozen ${trained.frozenShare}).`,
    untuned === undefined ? "" : `Before tuning: ${quality(untuned)} on validation.`,
    end === undefined ? "" : `Ended by ${end} after ${deletions} trial deletions.`,
    chosen === undefined
      ? ""
      : `Chosen on validation: size ${chosen.round}${chosen.meets ? "" : ", which does not meet the goal"}.`,
    test === undefined
      ? ""
      : `Test, looked at once: ${quality(test.chosen)}; the whole tuned model ${quality(test.whole)}.`,
  ];
  return parts.filter((part) => part !== "").join(" ");
}

function percent(share: number): string {
  return (100 * share).toFixed(2);
}
