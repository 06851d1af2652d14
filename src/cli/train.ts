/**
 * `skim train`: a language model from text or examples, from scratch or from a model;
 * the training methods are its subcommands.
 */
import type { Command } from "commander";
import { CHECKPOINT } from "./run-folder.ts";
import type { Terminal } from "./terminal.ts";
import { addDipRepairCommand } from "./train-dip-repair.ts";
import { addTrainFlags, checkTrainFlags, type TrainFlags } from "./train-flags.ts";
import { addProSparseCommand } from "./train-prosparse.ts";
import { TRAINING_REPORT } from "./train-report.ts";
import { addTrimCommand } from "./train-trim.ts";
import { runTraining, TRAINING_LOG } from "./training-run.ts";

const EXAMPLES = `
Examples:
  $ skim train --data books.txt --valid held-out.txt --out tales --layers 8 --width 256 --steps 5000
  $ skim train --model ./SmolLM-135M --data questions.jsonl --out tuned --learning-rate 1e-4 --steps 200
  $ skim train --model ./SmolLM-135M --data questions.jsonl --out tuned --lora-rank 8 --steps 200
  $ skim train --model ./SmolLM-135M --data questions.jsonl --out adapters --lora-rank 8 --lora-targets q,v --lora-keep
  $ skim train --teacher ./SmolLM-360M --model ./SmolLM-135M --data books.txt --out taught --teacher-weight 0.5
  $ skim train --data books.txt --valid held-out.txt --out tales --steps 5000 --resume

Documents of a text are separated by <|endoftext|>. Lines of a .jsonl file are {"prompt": ..., "answer": ...}; only
answers are learned. Ctrl-C saves a checkpoint; --resume with the same flags continues as if nothing had happened.
--out gets the model (the best on --valid, or the last), ${TRAINING_LOG}, ${TRAINING_REPORT} (curves) and
${CHECKPOINT}.`;

export function addTrainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("train")
    .description("train a language model")
    .addHelpText("after", EXAMPLES)
    .enablePositionalOptions();
  addTrainFlags(command).action((flags: Partial<TrainFlags>) => {
    checkTrainFlags(command, flags);
    return runTraining(terminal, flags);
  });
  addTrimCommand(command, terminal);
  addProSparseCommand(command, terminal);
  addDipRepairCommand(command, terminal);
}
