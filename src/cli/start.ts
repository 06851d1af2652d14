/** `skim start`, what `npm start` runs: `run` with the model a newcomer names, or else the embedded one. */
import type { Command } from "commander";
import { demonstrate } from "./demonstration.ts";
import { embeddedModelPath } from "./embedded-models.ts";
import { addEngineFlags, MODEL_FLAG_TEXT } from "./model-flags.ts";
import { addRunFlags, type RunFlags, run } from "./run.ts";
import type { Terminal } from "./terminal.ts";

export function addStartCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("start")
    .description("run a model, or show the embedded one (npm start)")
    .option("-m, --model <path>", `${MODEL_FLAG_TEXT} (default: the embedded tales)`);
  addRunFlags(addEngineFlags(command)).action(async (flags: Partial<RunFlags>) => {
    if (Object.keys(flags).length === 0) await demonstrate(terminal);
    else await run(terminal, { ...flags, model: flags.model ?? embeddedModelPath("tales") });
  });
}
