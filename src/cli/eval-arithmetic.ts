/** `skim eval arithmetic`: exact answers and attention reads of a model that evaluates expressions. */
import { type Command, Option } from "commander";
import { z } from "zod";
import { FormatError } from "../errors.ts";
import {
  type ArithmeticProblem,
  type ArithmeticReport,
  evaluateArithmetic,
  type ReadShare,
} from "../evaluation/arithmetic.ts";
import {
  addColumnFlags,
  type ColumnFlags,
  columnLines,
  columnReport,
  loadWithColumns,
  notePageCache,
} from "./column-flags.ts";
import { InterruptedError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags } from "./model-flags.ts";
import { startProgress } from "./progress.ts";
import { formatTable, printJson, printLine, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface ArithmeticFlags extends ColumnFlags {
  readonly data: string;
  readonly spans: "follow" | "ignore";
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim data arithmetic --levels 1,2,3 --count 300 --split test --long --out test.jsonl
  $ skim eval arithmetic --model models/calc --data test.jsonl
  $ skim eval arithmetic --model models/calc --data test.jsonl --spans ignore

"bodies read" is the share of the positions before it that a token of a line's body attends to, exactly and by blocks of
16 and 32 positions; statements are valid when they could be followed.`;

const problemSchema = z.object({
  instruction: z.string().optional(),
  prompt: z.string(),
  answer: z.string(),
  level: z.number(),
  value: z.number(),
});

export function addArithmeticCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command("arithmetic")
    .description("exact answers and attention reads on arithmetic expressions")
    .addHelpText("after", EXAMPLES);
  addColumnFlags(addModelFlags(command))
    .requiredOption("--data <file>", "JSONL of skim data arithmetic")
    .addOption(
      new Option("--spans <way>", "follow what the model states, or ignore it and read everything")
        .choices(["follow", "ignore"])
        .default("follow"),
    )
    .option("--json", "print one JSON object")
    .action((flags: ArithmeticFlags) => evaluate(terminal, flags));
}

async function evaluate(terminal: Terminal, flags: ArithmeticFlags): Promise<void> {
  const problems = parseProblems(flags.data, await readTextFlag(flags.data, "--data"));
  await using model = await loadWithColumns(terminal, flags);
  await withInterrupt(async (signal) => {
    const progress = startProgress(terminal, "computing", "expressions");
    const reports = await evaluateArithmetic(model, problems, {
      follow: flags.spans === "follow",
      now: () => performance.now(),
      signal,
      onProgress: (done, total) => progress.update(done, total),
    })
      .catch((error: unknown) => {
        throw signal.aborted ? new InterruptedError() : error;
      })
      .finally(() => progress.end());
    const columns = columnReport(model, flags);
    notePageCache(terminal, columns);
    if (flags.json === true) {
      printJson(terminal, { spans: flags.spans, levels: reports, ...(columns && { columns }) });
      return;
    }
    printLine(terminal, formatTable(HEADER, reports.map(row)));
    if (columns !== undefined) printLine(terminal, columnLines(columns));
  });
}

const HEADER = [
  "level",
  "exact",
  "valid",
  "references",
  "rows read",
  "bodies read",
  "by 16",
  "by 32",
  "ms each",
];

function row(report: ArithmeticReport): string[] {
  const { problems, exact, statements, validStatements, named, needed, namedAndNeeded } = report;
  const percent = (part: number, whole: number) =>
    whole === 0 ? "-" : `${((100 * part) / whole).toFixed(1)} %`;
  const share = ({ read, inAll }: ReadShare) => percent(read, inAll);
  return [
    String(report.level),
    `${exact} of ${problems}`,
    percent(validStatements, statements),
    needed === 0 ? "-" : `${percent(namedAndNeeded, needed)}, ${named - namedAndNeeded} more`,
    share(report.all),
    share(report.bodies),
    share(report.bodiesBy16),
    share(report.bodiesBy32),
    (report.milliseconds / problems).toFixed(0),
  ];
}

function parseProblems(name: string, text: string): ArithmeticProblem[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      throw new FormatError(`${name}: line ${index + 1}: is not JSON - use a file of skim data arithmetic`, {
        cause,
      });
    }
    const outcome = problemSchema.safeParse(value);
    if (outcome.success) return [outcome.data];
    const issue = outcome.error.issues[0];
    throw new FormatError(
      `${name}: line ${index + 1}: ${issue.path.join(".")}: ${issue.message} - use a file of skim data arithmetic`,
    );
  });
}
