/**
 * The public API of skim: load a model, with its columns in a file where it is larger than the memory;
 * generate, chat. Re-exports only.
 */
export * from "./errors.ts";
export type { ColumnStore } from "./executors/column-store.ts";
export type { CacheSettings } from "./methods/dynamic-input-pruning/cached-columns.ts";
export { loadModel, openColumnStore } from "./node-entry.ts";
export type { ColumnStoreOptions, FileColumnStore } from "./offload/file-column-store.ts";
export type { Platform } from "./platform/types.ts";
export type { ReadBytes } from "./program/accounting.ts";
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
export type { SpanReport } from "./session/stated-spans.ts";
export type { ChatMessage } from "./tokenizer/chat-template.ts";
