/** The flags of every command that loads a model, and the loading itself with progress on stderr. */
import { type Command, Option } from "commander";
import { EXECUTORS } from "../executors/executor.ts";
import { nodePlatform } from "../platform/node.ts";
import { SIMD_BUILDS } from "../platform/simd-variants.ts";
import { KEY_VALUE_FORMATS } from "../program/key-value-format.ts";
import { WEIGHT_STORAGES } from "../program/weight-storage.ts";
import { loadModelOn } from "../session/load-model.ts";
import type { Model } from "../session/model.ts";
import type { EngineOptions, ModelOptions } from "../session/options.ts";
import { THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { addShareFlags } from "./density-flags.ts";
import { withProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

export interface ModelFlags {
  readonly model: string;
  readonly context?: number;
  readonly threads?: number;
  readonly executor?: EngineOptions["executor"];
  readonly weightFormat?: ModelOptions["weightFormat"];
  readonly kvFormat?: ModelOptions["keyValueFormat"];
  readonly simd?: EngineOptions["simd"];
  readonly density?: number;
  readonly inputDensity?: number;
  readonly gluDensity?: number;
}

export const MODEL_FLAG_TEXT = "GGUF file or Hugging Face folder";

/** Adds the flags to a command; --model is required. */
export function addModelFlags(command: Command): Command {
  return addEngineFlags(command.requiredOption("-m, --model <path>", MODEL_FLAG_TEXT));
}

/** All model flags but --model. */
export function addEngineFlags(command: Command): Command {
  const engine = command
    .option(
      "-c, --context <n>",
      "positions the model can see (default: its own, at most 4096)",
      wholeNumber(1),
    )
    .option(...THREADS_FLAG)
    .addOption(new Option("--executor <name>", "what runs the model (default: wasm)").choices(EXECUTORS))
    .addOption(
      new Option(
        "--weight-format <name>",
        "storage of weights in memory (default: as near to the file as kernels exist)",
      ).choices(WEIGHT_STORAGES),
    )
    .addOption(
      new Option("--kv-format <name>", "storage of keys and values (default: f16)").choices(
        KEY_VALUE_FORMATS,
      ),
    )
    .addOption(
      new Option("--simd <build>", "kernel build (default: auto, relaxed where the machine has it)").choices(
        SIMD_BUILDS,
      ),
    );
  return addShareFlags(
    engine,
    "Dynamic Input Pruning: share of the feed-forward weights a generated token reads",
  );
}

/**
 * Where columns come from: a file, which stays the caller's to close,
 * or memory with caches that are preferred.
 */
export type ColumnSource = Pick<EngineOptions, "columnStore" | "columnCache">;

/** Loads the model; `contextLength` is what the command needs where --context does not say. */
export async function loadFromFlags(
  terminal: Terminal,
  flags: ModelFlags,
  contextLength?: number,
  columns: ColumnSource = {},
): Promise<Model> {
  return withProgress(terminal, "loading", "bytes", (onProgress) =>
    loadModelOn(nodePlatform(), flags.model, {
      model: {
        contextLength: flags.context ?? contextLength,
        weightFormat: flags.weightFormat,
        keyValueFormat: flags.kvFormat,
        density: flags.density,
        inputDensity: flags.inputDensity,
        gluDensity: flags.gluDensity,
      },
      engine: {
        executor: flags.executor,
        threads: flags.threads,
        simd: flags.simd,
        ...columns,
        onProgress,
      },
    }),
  );
}
