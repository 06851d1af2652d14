/**
 * The public API of skim: load a model, generate, chat. Re-exports only.
 */
export * from "./errors.ts";
export type { ReadBytes } from "./executors/executor.ts";
export { loadModel } from "./node-entry.ts";
export type { Generation } from "./session/generation.ts";
export type {
  FinishReason,
  GenerationReads,
  GenerationResult,
  GenerationTiming,
  Piece,
} from "./session/generation-record.ts";
export { loadModelOn } from "./session/load-model.ts";
export type { Model } from "./session/model.ts";
export type { EngineOptions, GenerationOptions, LoadOptions, ModelOptions } from "./session/options.ts";
export type { ChatMessage } from "./tokenizer/chat-template.ts";
