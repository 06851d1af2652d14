/** `skim data`: makes training data. One subcommand per task. */
import type { Command } from "commander";
import { addArithmeticDataCommand } from "./data-arithmetic.ts";
import { addSummariesDataCommand } from "./data-summaries.ts";
import type { Terminal } from "./terminal.ts";

export function addDataCommand(program: Command, terminal: Terminal): void {
  const group = program.command("data").description("make training data");
  addArithmeticDataCommand(group, terminal);
  addSummariesDataCommand(group, terminal);
}
