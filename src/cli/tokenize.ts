/** `skim tokenize`: text to token ids; needs no weights, so vocabulary-only files will do. */
import type { Command } from "commander";
import { openModelFile } from "../formats/open-model-file.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { UsageError } from "./failure.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { readStandardInput } from "./standard-input.ts";
import { printJson, printLine, type Terminal } from "./terminal.ts";

interface TokenizeFlags {
  readonly model: string;
  readonly text?: string;
  readonly stdin?: boolean;
  readonly special: boolean;
  readonly parseSpecial: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim tokenize --model llama.gguf --text "Hello world"
  $ cat book.txt | skim tokenize --model ./Qwen3-0.6B --stdin --no-special --json`;

export function addTokenizeCommand(program: Command, terminal: Terminal): void {
  program
    .command("tokenize")
    .description("print the token ids of a text")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", `${MODEL_FLAG_TEXT}; the vocabulary alone is enough`)
    .option("--text <text>", "the text")
    .option("--stdin", "read the text from stdin, to the last byte")
    .option("--no-special", "add no BOS or EOS")
    .option("--no-parse-special", "treat control tokens written out in the text as ordinary text")
    .option("--json", "print one JSON object with ids and token texts")
    .action((flags: TokenizeFlags) => tokenize(terminal, flags));
}

async function tokenize(terminal: Terminal, flags: TokenizeFlags): Promise<void> {
  if ((flags.text === undefined) === (flags.stdin !== true)) {
    throw new UsageError("tokenize: expected either --text or --stdin");
  }
  const text = flags.text ?? (await readStandardInput(terminal, "the text"));
  await withFile(await openModelFile(nodePlatform(), flags.model), async (file) => {
    const tokenizer = await loadTokenizer(file);
    const tokenIds = tokenizer.encode(text, {
      addSpecial: flags.special,
      parseSpecial: flags.parseSpecial,
    });
    if (flags.json === true) {
      printJson(terminal, { tokenIds, tokens: tokenIds.map((id) => tokenizer.tokenText(id)) });
    } else {
      printLine(terminal, tokenIds.join(" "));
    }
  });
}
