/** `skim start`, what `npm start` runs: `run` with the model a newcomer names, or else the embedded one. */
import type { Command } from "commander";
import { demonstrate } from "./demonstration.ts";
import { embeddedModelPath } from "./embedded-models.ts";
import { UsageError } from "./failure.ts";
import { addEngineFlags, MODEL_FLAG_TEXT } from "./model-flags.ts";
import { addRunFlags, type RunFlags, run } from "./run.ts";
import type { Terminal } from "./terminal.ts";

export function addStartCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("start")
    .description("run a model, or show the embedded ones (npm start)")
    .argument("[expression]", 'what the embedded calc evaluates, e.g. "(37+5)*(12-4)"')
    .option("-m, --model <path>", `${MODEL_FLAG_TEXT} (default: the embedded tales)`);
  addRunFlags(addEngineFlags(command)).action(
    async (expression: string | undefined, flags: Partial<RunFlags>) => {
      if (Object.keys(flags).length === 0) await demonstrate(terminal, expression);
      else if (expression !== undefined) {
        throw new UsageError(
          `start: an expression is evaluated by the embedded calc alone - leave out the flags or give --prompt`,
        );
      } else await run(terminal, { ...flags, model: flags.model ?? embeddedModelPath("tales") });
    },
  );
}
