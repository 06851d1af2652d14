/** `skim eval arithmetic`: exact answers and attention reads of a model that evaluates expressions. */
import { type Command, Option } from "commander";
import { z } from "zod";
import { type ArithmeticReport, evaluateArithmetic, type ReadShare } from "../evaluation/arithmetic.ts";
import { parseJsonLines } from "../formats/json-lines.ts";
import { SPAN_WAYS } from "../session/options.ts";
import { addColumnFlags, type ColumnFlags, loadWithColumns, printWithColumns } from "./column-flags.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { formatTable, printLine, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface ArithmeticFlags extends ColumnFlags {
  readonly data: string;
  readonly spans: (typeof SPAN_WAYS)[number];
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
        .choices(SPAN_WAYS)
        .default("follow"),
    )
    .option("--json", "print one JSON object")
    .action((flags: ArithmeticFlags) => evaluate(terminal, flags));
}

async function evaluate(terminal: Terminal, flags: ArithmeticFlags): Promise<void> {
  const lines = await readTextFlag(flags.data, "--data");
  const problems = parseJsonLines(flags.data, lines, problemSchema, "a line of skim data arithmetic");
  await using model = await loadWithColumns(terminal, flags);
  await withInterrupt(async (signal) => {
    const { spans } = flags;
    const options = { follow: spans === "follow", now: () => performance.now(), signal };
    const levels = await withProgress(terminal, "computing", "expressions", (onProgress) =>
      evaluateArithmetic(model, problems, { ...options, onProgress }),
    );
    printWithColumns(terminal, model, flags, { spans, levels }, () =>
      printLine(terminal, formatTable(HEADER, levels.map(row))),
    );
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
