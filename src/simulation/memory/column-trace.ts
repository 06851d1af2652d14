/**
 * What the memory simulator replays: for every generated token, layer and hook of a gated MLP either the
 * scores |x| of all columns or the columns that the run selected. Scores allow any density and gamma
 * afterwards, selections only those of the run. Prompt tokens run dense and are not part of a trace.
 */
import { ResourceError } from "../../errors.ts";
import type { SelectionTrace } from "../../methods/dynamic-input-pruning/eviction.ts";
import type { TransformerShape } from "../model-shapes.ts";
import type { Hook } from "./memory-plan.ts";

export const TRACE_CONTENTS = ["scores", "columns"] as const;
export type TraceContent = (typeof TRACE_CONTENTS)[number];

export interface TraceHeader {
  readonly shape: TransformerShape;
  readonly content: TraceContent;
  /** Where the numbers come from, shown beside every result made of them. */
  readonly origin: string;
  /** Sequences were generated independently: caches start empty at each. */
  readonly sequences: readonly { readonly promptTokens: number; readonly tokens: number }[];
}

/** One hook of one layer over one sequence. */
export type HookTrace =
  | {
      readonly content: "scores";
      /** [tokens, columns], finite, not negative */
      readonly scores: Float32Array;
    }
  | { readonly content: "columns"; readonly selections: SelectionTrace };

export interface ColumnTrace {
  readonly header: TraceHeader;
  /** Throws FormatError when stored numbers are damaged. */
  readHook(sequence: number, layer: number, hook: Hook): Promise<HookTrace>;
}

/** A hook's scores over one sequence are held at once: at most 512 MiB of them. */
const MAX_HOOK_SCORES = 1 << 27;

/** Throws ResourceError when one hook of the longest sequence would take too much memory. */
export function checkTraceSize({ shape, sequences }: TraceHeader): void {
  const widest = Math.max(shape.width, shape.feedForwardWidth);
  const longest = sequences.reduce((most, { tokens }) => Math.max(most, tokens), 0);
  if (longest * widest > MAX_HOOK_SCORES) {
    throw new ResourceError(
      `trace: ${longest} tokens of ${widest} columns in one sequence are too many to hold, expected at most ` +
        `${Math.floor(MAX_HOOK_SCORES / widest)} tokens - use more and shorter sequences`,
    );
  }
}

/** Columns of a hook: d for the input, f for the GLU output. */
export function hookColumns({ width, feedForwardWidth }: TransformerShape, hook: Hook): number {
  return hook === "input" ? width : feedForwardWidth;
}
