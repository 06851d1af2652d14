/**
 * What a model family owes the registry: its names in both containers, and the function that parses a
 * checkpoint's hyper-parameters and emits its program.
 */
import type { ModelFile } from "../formats/model-file.ts";
import type { Program } from "../program/program.ts";
import type { HyperParameters } from "./hyper-parameters.ts";

export interface LoadedModel {
  readonly parameters: HyperParameters;
  readonly program: Program;
}

export interface ModelFamily {
  /** skim's name, also the file's name. */
  readonly name: string;
  /** Values of `general.architecture` this family runs. */
  readonly ggufArchitectures: readonly string[];
  /** Values of `model_type` this family runs. */
  readonly modelTypes: readonly string[];
  /**
   * `contextLength` is the context the engine will run with, undefined for the longest the checkpoint states;
   * it chooses between short and long rotary factors. Throws FormatError or UnsupportedError.
   */
  load(file: ModelFile, contextLength: number | undefined): Promise<LoadedModel>;
}
