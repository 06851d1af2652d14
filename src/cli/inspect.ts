/** `skim inspect`: what a model file holds and what its program reads per token, without loading weights. */
import type { Command } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { parameterCount } from "../formats/tensor-layout.ts";
import type { HyperParameters } from "../models/hyper-parameters.ts";
import { explainTensors, loadRecipeProgram, type Recipe, readRecipes } from "../methods/recipes.ts";
import { sublayerName, sublayersOf } from "../methods/trimllm/recipe.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { countCost, type ReadBytes } from "../program/accounting.ts";
import { describeOp } from "../program/printer.ts";
import type { Program, Weight } from "../program/program.ts";
import { bitsPerWeight } from "../quantization/weight-format.ts";
import { loadChatTemplate } from "../tokenizer/chat-template.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { wholeNumber } from "./arguments.ts";
import { printInspection } from "./inspect-text.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { printJson, type Terminal } from "./terminal.ts";

interface InspectFlags {
  readonly model: string;
  readonly attended: number;
  readonly json?: boolean;
}

/** The JSON of `inspect`; a part that the file lacks is null, with the reason in `missing`. */
export interface Inspection {
  readonly name: string;
  readonly container: ModelFile["container"];
  readonly architecture: string;
  readonly parameters: number;
  readonly tensorBytes: number;
  /** Methods that made the checkpoint, in the order they apply. */
  readonly recipes: readonly string[];
  /** Of the original model, where sublayers were dropped. */
  readonly hyperParameters: HyperParameters | null;
  readonly formats: readonly { name: string; bitsPerWeight: number; tensors: number; bytes: number }[];
  readonly tensors: readonly { name: string; shape: readonly number[]; format: string; bytes: number }[];
  readonly tokenizer: {
    kind: string;
    vocabularySize: number;
    bosId: number | null;
    eosId: number | null;
    endIds: readonly number[];
  } | null;
  readonly chatTemplate: string | null;
  readonly program: {
    readonly attended: number;
    readonly keyValueFormat: "f16";
    readonly ops: readonly { text: string; kind: string; bytes: number; multiplyAdds: number }[];
    readonly reads: ReadBytes;
    readonly multiplyAdds: number;
  } | null;
  readonly missing: readonly string[];
}

const EXAMPLES = `
Examples:
  $ skim inspect --model llama.gguf
  $ skim inspect --model ./Qwen3-0.6B --attended 4096 --json

Bytes per op are those of the file's own formats, for one decoded token that sees --attended positions, with keys and
values in f16.`;

export function addInspectCommand(program: Command, terminal: Terminal): void {
  program
    .command("inspect")
    .description("list hyper-parameters, tensors, tokenizer, template and the program with its bytes")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .option("--attended <n>", "positions that the counted token sees", wholeNumber(1), 512)
    .option("--json", "print one JSON object")
    .action(async (flags: InspectFlags) => {
      await withFile(await openModelFile(nodePlatform(), flags.model), async (file) => {
        const inspection = await inspect(explainTensors(file), flags.attended);
        if (flags.json === true) printJson(terminal, inspection);
        else printInspection(terminal, inspection);
      });
    });
}

async function inspect(file: ModelFile, attended: number): Promise<Inspection> {
  const missing: string[] = [];
  const optional = async <T>(part: string, read: () => Promise<T> | T): Promise<T | null> => {
    try {
      return await read();
    } catch (error) {
      missing.push(`${part}: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    }
  };
  const tensors = [...file.tensors.values()];
  // A vocabulary without weights is a legitimate file; a model whose weights are wrong is an error.
  const model = tensors.length === 0 ? null : await loadRecipeProgram(file);
  if (model === null) missing.push("program: the file holds no tensors");
  const tokenizer = await optional("tokenizer", () => loadTokenizer(file));
  const template = await optional("chat template", () => loadChatTemplate(file));
  return {
    name: file.name,
    container: file.container,
    architecture: file.architecture,
    parameters: parameterCount(file),
    tensorBytes: file.tensorBytes,
    recipes: readRecipes(file).map(describeRecipe),
    hyperParameters: model?.parameters ?? null,
    formats: groupFormats(file),
    tensors: tensors.map(({ name, shape, format, bytes }) => ({ name, shape, format: format.name, bytes })),
    tokenizer: tokenizer && {
      kind: tokenizer.kind,
      vocabularySize: tokenizer.vocabularySize,
      bosId: tokenizer.bosId ?? null,
      eosId: tokenizer.eosId ?? null,
      endIds: [...tokenizer.endIds],
    },
    chatTemplate: template?.source ?? null,
    program: model === null ? null : countProgram(file, model.program, attended),
    missing,
  };
}

function describeRecipe(recipe: Recipe): string {
  if (recipe.method !== "trimllm") return recipe.method;
  return `trimllm without ${sublayersOf(recipe, false).map(sublayerName).join(", ")}`;
}

function groupFormats(file: ModelFile): Inspection["formats"] {
  const groups = new Map<string, { name: string; bitsPerWeight: number; tensors: number; bytes: number }>();
  for (const { format, bytes } of file.tensors.values()) {
    const group = groups.get(format.name) ?? {
      name: format.name,
      bitsPerWeight: bitsPerWeight(format),
      tensors: 0,
      bytes: 0,
    };
    group.tensors++;
    group.bytes += bytes;
    groups.set(format.name, group);
  }
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}

function countProgram(file: ModelFile, program: Program, attended: number): Inspection["program"] {
  const weightBytes = (weight: Weight): number => {
    const format = file.tensors.get(weight.tensor)?.format;
    return format === undefined ? 0 : (weight.rows * weight.columns * bitsPerWeight(format)) / 8;
  };
  const cost = countCost(program, {
    weightBytes,
    keyValueFormat: "f16",
    attended: Math.min(attended, program.contextLength),
  });
  return {
    attended: Math.min(attended, program.contextLength),
    keyValueFormat: "f16",
    ops: cost.ops.map(({ op, kind, bytes, multiplyAdds }) => ({
      text: describeOp(op),
      kind,
      bytes,
      multiplyAdds,
    })),
    reads: cost.reads,
    multiplyAdds: cost.multiplyAdds,
  };
}
