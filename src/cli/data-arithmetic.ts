/** `skim data arithmetic`: expressions with worked solutions, as JSONL. */
import { type Command, Option } from "commander";
import { writeCompletely } from "../formats/tensor-source.ts";
import { LEVELS, type Split } from "../methods/attention-span/arithmetic.ts";
import { arithmeticExamples } from "../methods/attention-span/arithmetic-examples.ts";
import { createFileSink } from "../platform/node.ts";
import { realNumber, wholeNumber, wholeNumbers } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { withProgress } from "./progress.ts";
import { printNote, type Terminal } from "./terminal.ts";

interface ArithmeticFlags {
  readonly levels: readonly number[];
  readonly count: number;
  readonly seed: number;
  readonly split: Split;
  readonly vary: number;
  readonly long?: boolean;
  readonly statements: boolean;
  readonly out: string;
}

const EXAMPLES = `
Examples:
  $ skim data arithmetic --levels 1,2,3,4 --count 20000 --long --out train.jsonl
  $ skim data arithmetic --levels 3 --count 500 --split test --seed 7 --long --out test.jsonl
  $ skim data arithmetic --levels 1,2,3,4 --count 20000 --long --no-statements --out plain.jsonl

Level 1 has 2 operators and numbers below 10, level 5 has 32 operators and steps up to 999999. Every step of a solution
states the segments it needs. Expressions are divided among train, valid and test by their text, so no two splits share one.`;

/** Examples between two checks for Ctrl-C. */
const PIECE = 500;

export function addArithmeticDataCommand(group: Command, terminal: Terminal): void {
  group
    .command("arithmetic")
    .description("expressions with worked solutions that state their attention spans")
    .addHelpText("after", EXAMPLES)
    .option("--levels <list>", "levels 1 to 5, taking turns", wholeNumbers(1), [1, 2, 3, 4])
    .option("--count <n>", "examples to write", wholeNumber(1), 20_000)
    .option("--seed <n>", "seed of the expressions", wholeNumber(0, 0xffffffff), 1)
    .addOption(
      new Option("--split <name>", "which part of all expressions")
        .choices(["train", "valid", "test"])
        .default("train"),
    )
    .option(
      "--vary <share>",
      "share of the examples with any number of operators up to their level's",
      realNumber(0, 1),
      0,
    )
    .option("--long", "write products of numbers with several digits as partial products")
    .option("--no-statements", "leave the span statements out")
    .requiredOption("--out <file>", "JSONL file to write")
    .action((flags: ArithmeticFlags) => writeArithmetic(terminal, flags));
}

async function writeArithmetic(terminal: Terminal, flags: ArithmeticFlags): Promise<void> {
  const unknown = flags.levels.find((level) => level > LEVELS.length);
  if (unknown !== undefined) {
    throw new UsageError(`data arithmetic: --levels ${unknown}, expected 1 to ${LEVELS.length}`);
  }
  const sink = await createFileSink(flags.out);
  await withInterrupt(async (signal) => {
    let [written, lines] = [0, ""];
    await withProgress(terminal, "writing", "examples", (onProgress) =>
      writeCompletely(sink, async () => {
        for (const example of arithmeticExamples({ ...flags, long: flags.long === true })) {
          lines += `${JSON.stringify(example)}\n`;
          if (++written % PIECE !== 0) continue;
          await sink.write(new TextEncoder().encode(lines));
          lines = "";
          onProgress(written, flags.count);
          // Lets Ctrl-C arrive: deep levels reject thousands of expressions for each that they keep.
          await new Promise<void>((resolve) => setTimeout(resolve));
          signal.throwIfAborted();
        }
        await sink.write(new TextEncoder().encode(lines));
      }),
    );
    const short = written < flags.count ? `; the levels have no more for ${flags.split}` : "";
    printNote(terminal, `wrote ${flags.out}: ${written} examples${short}`);
  });
}
