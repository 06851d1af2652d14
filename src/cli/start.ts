/** `skim start`, what `npm start` runs: `run` with the model a newcomer names, or plain words about getting one. */
import type { Command } from "commander";
import { addEngineFlags, MODEL_FLAG_TEXT } from "./model-flags.ts";
import { addRunFlags, type RunFlags, run } from "./run.ts";
import { printLine, type Terminal } from "./terminal.ts";

const WITHOUT_MODEL = `skim is built and works. It needs a model to run; give it one:

  npm start -- --model path/to/model.gguf --prompt "Why is the sky blue?"

Where to get one:
  - any GGUF file (Llama, Mistral, Qwen2, Qwen3, Phi-3, MiniCPM, SmolLM; F32, F16, BF16, Q8_0, Q4_0 to Q6_K), for
    example SmolLM2-135M-Instruct-Q8_0.gguf from huggingface.co, 145 MB
  - a Hugging Face folder with config.json, tokenizer.json and safetensors
  - no download at all: a model with random weights, which talks nonsense at full speed
      npx skim synth --shape tinyllama-1.1b --format q8_0 --out random.gguf
      npm start -- --model random.gguf --prompt "Hello" --max-tokens 32

npx skim --help lists the commands: chat, bench, eval, inspect and more.`;

export function addStartCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("start")
    .description("run a model, or say how to get one (npm start)")
    .option("-m, --model <path>", MODEL_FLAG_TEXT);
  addRunFlags(addEngineFlags(command)).action(async (flags: Partial<RunFlags>) => {
    if (flags.model === undefined) printLine(terminal, WITHOUT_MODEL);
    else await run(terminal, { ...flags, model: flags.model });
  });
}
