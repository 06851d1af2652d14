/**
 * Where a training run stands, and its checkpoint: one safetensors file with weights and moments of all
 * parameters, the state as JSON in its metadata. Written under a temporary name and renamed, so the last
 * complete one is always there.
 * Invariant: a run continued from a checkpoint repeats the losses of one that was never stopped, bit for bit.
 */
import { z } from "zod";
import { FormatError, OptionError } from "../errors.ts";
import type { TrainingExecutor } from "../executors/training/training-executor.ts";
import { readSafetensorsHeader } from "../formats/safetensors-reader.ts";
import { writeSafetensors } from "../formats/safetensors-writer.ts";
import { tensorFromValues } from "../formats/tensor-source.ts";
import type { ByteSink, ByteSource } from "../platform/types.ts";
import { f32 } from "../quantization/f32.ts";

const stateSchema = z.object({
  /** Updates made. */
  step: z.int().min(0),
  cursor: z.object({ epoch: z.int().min(0), index: z.int().min(0) }),
  tokens: z.int().min(0),
  /** Lowest validation loss so far, and the step it was seen at. */
  best: z.object({ loss: z.number(), step: z.int() }).nullable(),
  /** Evaluations since then. */
  stale: z.int().min(0),
  /** What the run was started with; a checkpoint continues only the same run. */
  fingerprint: z.string(),
});

export type TrainingState = z.infer<typeof stateSchema>;

const STATE_KEY = "skim.training";
const PARTS = ["weights", "first", "second"] as const;

export function freshState(fingerprint: string): TrainingState {
  return { step: 0, cursor: { epoch: 0, index: 0 }, tokens: 0, best: null, stale: 0, fingerprint };
}

/** Writes the file and completes the sink, or leaves nothing behind. */
export async function writeCheckpoint(
  sink: ByteSink,
  executor: TrainingExecutor,
  state: TrainingState,
): Promise<void> {
  const tensors = executor.program.parameters.flatMap(({ tensor, size, trainable }) =>
    PARTS.filter((part) => trainable || part === "weights").map((part) =>
      tensorFromValues(`${part}/${tensor}`, [size], f32, executor.read(tensor, part)),
    ),
  );
  await writeSafetensors(sink, tensors, { [STATE_KEY]: JSON.stringify(state) });
}

/**
 * Puts a checkpoint into the executor. Throws FormatError when the file is damaged or of another model,
 * OptionError when it belongs to a run with other settings or data.
 */
export async function readCheckpoint(
  source: ByteSource,
  executor: TrainingExecutor,
  fingerprint: string,
): Promise<TrainingState> {
  const { tensors, metadata } = await readSafetensorsHeader(source);
  const state = parseState(source.name, metadata[STATE_KEY]);
  if (state.fingerprint !== fingerprint) {
    throw new OptionError(
      `${source.name}: belongs to another run, expected "${fingerprint}", got "${state.fingerprint}" - resume with the same data and settings`,
    );
  }
  const byName = new Map(tensors.map((tensor) => [tensor.info.name, tensor]));
  for (const { tensor, size, trainable } of executor.program.parameters) {
    for (const part of PARTS) {
      if (part !== "weights" && !trainable) continue;
      const stored = byName.get(`${part}/${tensor}`);
      if (stored === undefined || stored.info.bytes !== 4 * size) {
        throw new FormatError(
          `${source.name}: tensor ${part}/${tensor}, expected ${size} values, got ${stored === undefined ? "none" : stored.info.bytes / 4} - the checkpoint belongs to another model`,
        );
      }
      const bytes = new Uint8Array(stored.info.bytes);
      await source.readInto(stored.offset, bytes);
      const values = new Float32Array(size);
      f32.decode(bytes, values);
      executor.write(tensor, part, values);
    }
  }
  return state;
}

function parseState(name: string, text: string | undefined): TrainingState {
  try {
    return stateSchema.parse(JSON.parse(text ?? ""));
  } catch (cause) {
    throw new FormatError(`${name}: has no training state, expected a checkpoint of skim train`, { cause });
  }
}
