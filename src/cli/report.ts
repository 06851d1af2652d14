/**
 * `skim report`: rows of measurements as one page of figures, or one figure as SVG. The drawing library takes
 * half a second to load, so that it is imported by the commands that draw when they do.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { ResourceError } from "../errors.ts";
import { UsageError } from "./failure.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";
import { writeTextFile } from "./text-file.ts";

interface ReportFlags {
  readonly results: string;
  readonly out?: string;
  readonly figure?: string;
  readonly svg?: string;
  readonly json?: boolean;
}

const RESULTS = path.join("bench", "results");

const EXAMPLES = `
Examples:
  $ skim report --out report.html
  $ skim report --results my-results --out report.html
  $ skim report --figure quality --svg docs/figures/quality.svg
  $ skim report --json

The page needs no network and no script, follows the viewer's light or dark, and prints. Rows are the lines of *.jsonl files as the
scripts in bench/ append them; each figure says which rows it shows. --json lists the figures with their numbers and rows.`;

export function addReportCommand(program: Command, terminal: Terminal): void {
  program
    .command("report")
    .description("draw recorded measurements: quality, bytes, speed, memory, layers")
    .addHelpText("after", EXAMPLES)
    .option("--results <folder>", "folder of *.jsonl files", RESULTS)
    .option("-o, --out <file>", "write the page")
    .option("--figure <name>", "only this figure; needs --svg")
    .option("--svg <file>", "write the figure as a picture of its own; needs --figure")
    .option("--json", "print the figures' numbers as one JSON object")
    .action((flags: ReportFlags) => report(terminal, flags));
}

async function report(terminal: Terminal, flags: ReportFlags): Promise<void> {
  const { results, out, figure: wanted, svg, json } = flags;
  if ((wanted === undefined) !== (svg === undefined)) {
    throw new UsageError("report: --figure and --svg belong together, got only one");
  }
  if (out === undefined && svg === undefined && json !== true) {
    throw new UsageError("report: nothing to do - give --out FILE, --figure NAME --svg FILE, or --json");
  }
  const { readResultRows } = await import("../report/result-rows.ts");
  const { drawFigures, resultsHtml } = await import("../report/results-page.ts");
  const rows = readResultRows(readFiles(results));
  const figures = drawFigures(rows);
  if (figures.length === 0) {
    throw new ResourceError(
      `${results}: no row that a figure draws - give --results FOLDER with *.jsonl files`,
    );
  }
  if (out !== undefined) await write(terminal, out, resultsHtml(figures, rows.undrawn));
  if (svg !== undefined) {
    const { standaloneSvg } = await import("../report/page.ts");
    const figure = figures.find(({ name }) => name === wanted);
    if (figure === undefined) {
      const names = figures.map(({ name }) => name).join(", ");
      throw new UsageError(`report: no figure ${wanted}, expected one of ${names}`);
    }
    await write(terminal, svg, standaloneSvg(figure.svg));
  }
  if (json === true) {
    printJson(terminal, {
      figures: figures.map(({ svg: _, ...figure }) => ({
        ...figure,
        rows: figure.rows.map(({ schema, date, commit, modified, command, machine }) => ({
          schema,
          date,
          commit,
          modified,
          command: command ?? null,
          machine: machine ?? null,
        })),
      })),
      undrawn: Object.fromEntries(rows.undrawn),
    });
  }
}

/** Texts of the *.jsonl files in the folder, in the order of their names. */
function readFiles(folder: string): { name: string; text: string }[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".jsonl"))
      .sort()
      .map((name) => ({ name, text: readFileSync(path.join(folder, name), "utf8") }));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ResourceError(
      `${folder}: cannot be read (${code}) - give --results FOLDER with *.jsonl files`,
      {
        cause: error,
      },
    );
  }
}

async function write(terminal: Terminal, file: string, text: string): Promise<void> {
  await writeTextFile(file, text);
  printNote(terminal, `wrote ${file}: ${text.length} characters`);
}
