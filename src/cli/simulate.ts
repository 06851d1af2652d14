/** `skim simulate`: machines that are not here. Every figure of these commands is simulated and says so. */
import type { Command } from "commander";
import { addSimulateAcceleratorCommand } from "./simulate-accelerator.ts";
import { addSimulateMemoryCommand } from "./simulate-memory.ts";
import { addSimulateRecordCommand } from "./simulate-record.ts";
import type { Terminal } from "./terminal.ts";

export function addSimulateCommand(program: Command, terminal: Terminal): void {
  const group = program
    .command("simulate")
    .description("simulate memories and accelerators that are not here (no measurement)");
  addSimulateMemoryCommand(group, terminal);
  addSimulateRecordCommand(group, terminal);
  addSimulateAcceleratorCommand(group, terminal);
}
