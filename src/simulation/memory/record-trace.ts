/**
 * Records a trace from a real run: the magnitudes |x| at the MLP's input and |act(gate) * up| before down, of
 * a dense model reading a text. All tokens of a step are recorded together, as a dense model gives the same
 * activations whether it reads a text at once or token by token.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ReferenceExecutor } from "../../executors/reference/reference-executor.ts";
import type { Op } from "../../program/program.ts";
import type { ByteSink } from "../../platform/types.ts";
import { layerOfPart } from "../../program/weight-names.ts";
import type { TransformerShape } from "../model-shapes.ts";
import { hookColumns } from "./column-trace.ts";
import { HOOKS, type Hook } from "./memory-plan.ts";
import { TraceWriter } from "./trace-file.ts";

export interface RecordOptions {
  readonly shape: TransformerShape;
  readonly origin: string;
  /** Token ids of each sequence, prompt first; all longer than the prompt. */
  readonly sequences: readonly (readonly number[])[];
  readonly promptTokens: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (doneTokens: number, totalTokens: number) => void;
}

/** Writes the trace and completes the sink, or aborts it and rethrows what went wrong. */
export async function recordTrace(
  executor: ReferenceExecutor,
  sink: ByteSink,
  options: RecordOptions,
): Promise<void> {
  const { shape, origin, sequences, promptTokens } = options;
  const writer = new TraceWriter(sink, { shape, content: "scores", origin });
  const recorder = new StepRecorder(shape);
  const total = sequences.reduce((sum, tokens) => sum + tokens.length, 0);
  let done = 0;
  executor.observe(recorder.observe);
  try {
    for (const tokens of sequences) {
      writer.startSequence(promptTokens);
      for (let first = 0; first < tokens.length; first += executor.limits.stepTokens) {
        const piece = tokens.slice(first, first + executor.limits.stepTokens);
        recorder.begin(piece.length);
        await executor.step(
          {
            tokens: Int32Array.from(piece),
            positions: Int32Array.from(piece, (_, row) => first + row),
            slots: new Int32Array(piece.length),
            outputs: new Int32Array(0),
          },
          options.signal,
        );
        for (let row = Math.max(promptTokens - first, 0); row < piece.length; row++) {
          recorder.write(writer, row);
          await writer.endToken();
        }
        done += piece.length;
        options.onProgress?.(done, total);
      }
    }
    await writer.finish();
  } catch (error) {
    await sink.abort();
    throw error;
  } finally {
    executor.observe(undefined);
  }
}

/** Scores of one step, [tokens, columns] for every layer and hook. */
class StepRecorder {
  readonly #shape: TransformerShape;
  readonly #scores = new Map<string, Float32Array>();
  #tokens = 0;
  /** Layer whose gate ran last; the glu op that follows belongs to it. */
  #layer = 0;

  constructor(shape: TransformerShape) {
    this.#shape = shape;
  }

  begin(tokens: number): void {
    this.#tokens = tokens;
    this.#scores.clear();
  }

  readonly observe = (op: Op, read: (buffer: Extract<Op, { kind: "glu" }>["out"]) => Float32Array): void => {
    const layer = op.kind === "linear" ? layerOfPart(op.weight.name, "feedForward.gate") : undefined;
    if (op.kind === "linear" && layer !== undefined) {
      this.#layer = layer;
      this.#keep("input", read(op.x));
    } else if (op.kind === "glu") {
      this.#keep("glu", read(op.out));
    }
  };

  /** Adds the records of one row, in the order of the file. */
  write(writer: TraceWriter, row: number): void {
    for (let layer = 0; layer < this.#shape.layers; layer++) {
      for (const hook of HOOKS) {
        const columns = hookColumns(this.#shape, hook);
        const scores = this.#scores.get(`${layer}/${hook}`);
        if (scores === undefined) {
          throw new UnsupportedError(
            `record: layer ${layer} has no gated MLP, expected gate and up in every layer`,
          );
        }
        writer.addScores(scores.subarray(row * columns, (row + 1) * columns));
      }
    }
  }

  #keep(hook: Hook, values: Float32Array): void {
    const count = this.#tokens * hookColumns(this.#shape, hook);
    this.#scores.set(`${this.#layer}/${hook}`, values.subarray(0, count).map(Math.abs));
  }
}
