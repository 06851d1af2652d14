/** `skim compress`: makes a smaller checkpoint of a model. One subcommand per method. */
import type { Command } from "commander";
import { addColumnsCommand } from "./compress-columns.ts";
import { addDipCommand } from "./compress-dip.ts";
import { addInputGroupsCommand } from "./compress-input-groups.ts";
import { addTenderCommand } from "./compress-tender.ts";
import type { Terminal } from "./terminal.ts";

export function addCompressCommand(program: Command, terminal: Terminal): void {
  const group = program.command("compress").description("make a smaller checkpoint of a model");
  addDipCommand(group, terminal);
  addTenderCommand(group, terminal);
  addInputGroupsCommand(group, terminal);
  addColumnsCommand(group, terminal);
}
