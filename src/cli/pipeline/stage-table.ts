/** The table of a pipeline: one row per stage, printed as soon as the stage is measured. */
import type { ModelFacts } from "../../evaluation/model-facts.ts";
import { formatSize } from "../terminal.ts";

const WIDTHS = [44, 18, 20, 10, 24] as const;

export const STAGE_HEADER = formatCells(["stage", "perplexity", "read per token", "size", "decode"]);

/** The row of a stage; changes are those against the stage before. */
export function formatStage(name: string, facts: ModelFacts, before: ModelFacts | undefined): string {
  return formatCells([
    name,
    facts.perplexity === null
      ? "not measured"
      : `${facts.perplexity.toFixed(3)}${change(facts.perplexity, before?.perplexity)}`,
    `${formatSize(facts.bytesPerToken)}${change(facts.bytesPerToken, before?.bytesPerToken)}`,
    formatSize(facts.tensorBytes),
    `${facts.tokensPerSecond.toFixed(1)} tok/s${change(facts.tokensPerSecond, before?.tokensPerSecond)}`,
  ]);
}

/** " (-46.1 %)" */
function change(value: number, before: number | null | undefined): string {
  if (before === null || before === undefined || before === 0) return "";
  const percent = 100 * (value / before - 1);
  return ` (${percent >= 0 ? "+" : ""}${percent.toFixed(1)} %)`;
}

function formatCells(cells: readonly string[]): string {
  return cells
    .map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[i]) : cell.padStart(WIDTHS[i])))
    .join(" ")
    .trimEnd();
}
