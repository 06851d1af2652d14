/**
 * `skim report`: every figure that the rows of results allow, as one page. Each names the rows it is drawn
 * from: their command, date, commit and machine.
 */
import { sensitivityFigures, sparsityFigure, zerosFigures } from "./figures/layers.ts";
import { type Figure, groupBy } from "./figures/figure.ts";
import { memoryFigure, offloadFigure } from "./figures/memory.ts";
import { cacheFigures } from "./figures/cache.ts";
import { compositionFigure } from "./figures/composition.ts";
import { kernelsFigure } from "./figures/kernels.ts";
import { quantizationFigures, spanQualityFigure, trimmingFigure, variantFigures } from "./figures/quality.ts";
import { simulatedAcceleratorFigures, simulatedMemoryFigures } from "./figures/simulated.ts";
import { attentionFigure, peersFigure, speedFigure } from "./figures/speed.ts";
import { simulatedQualityFigures } from "./figures/simulated-quality.ts";
import { escapeText, htmlPage, htmlTable } from "./page.ts";
import type { ResultRows, RowOrigin } from "./result-rows.ts";

/** In the order of the page. Figures without rows are left out. */
export function drawFigures(rows: ResultRows): Figure[] {
  return [
    ...variantFigures(rows),
    ...speedFigure(rows),
    ...peersFigure(rows),
    ...attentionFigure(rows),
    ...kernelsFigure(rows),
    ...memoryFigure(rows),
    ...offloadFigure(rows),
    ...quantizationFigures(rows),
    ...sparsityFigure(rows),
    ...zerosFigures(rows),
    ...sensitivityFigures(rows),
    ...trimmingFigure(rows),
    ...compositionFigure(rows),
    ...spanQualityFigure(rows),
    ...cacheFigures(rows),
    ...simulatedMemoryFigures(rows),
    ...simulatedQualityFigures(rows),
    ...simulatedAcceleratorFigures(rows),
  ];
}

/** The page; there must be a figure. */
export function resultsHtml(figures: readonly Figure[], undrawn: ResultRows["undrawn"]): string {
  const rest = [...undrawn].map(([schema, count]) => `${schema} (${count})`);
  const others =
    rest.length === 0 ? "" : `<p class="note">Rows that no figure draws: ${escapeText(rest.join(", "))}.</p>`;
  return htmlPage(
    "skim: what reading less costs and brings",
    `<p>Drawn by <code>skim report</code> from recorded rows. Of measurements that were repeated, the newest is drawn; what was simulated says so. Speeds compare within one run only.</p>
${figures.map(figureHtml).join("\n")}
${others}`,
  );
}

function figureHtml({ name, title, svg, caption, rows, table }: Figure): string {
  return `<section id="${name}">
<figure><h2>${escapeText(title)}</h2>
${svg}
<figcaption><p>${escapeText(caption)}</p>
<ul class="rows">${originItems(rows).join("\n")}</ul></figcaption></figure>
<details><summary>the numbers</summary>
${htmlTable(table.head, table.rows)}</details>
</section>`;
}

/** Where the rows come from; rows that say the same are counted. */
function originItems(rows: readonly RowOrigin[]): string[] {
  return [...groupBy(rows.map(originHtml), (text) => text)].map(
    ([text, { length }]) => `<li>${text}${length > 1 ? ` (${length} rows)` : ""}</li>`,
  );
}

function originHtml({ schema, command, date, commit, modified, machine }: RowOrigin): string {
  const how =
    command === undefined
      ? `a row of ${escapeText(schema)} that does not state its command`
      : `<code>${escapeText(command)}</code>`;
  const where =
    machine === undefined
      ? "machine not stated, nothing is timed"
      : `${machine.cpu}, ${machine.cores} cores, ${machine.os}, Node ${machine.node}`;
  return `${how}; ${date.slice(0, 10)}, commit ${escapeText(commit.slice(0, 10))}${modified ? " with changes" : ""}; ${escapeText(where)}`;
}
