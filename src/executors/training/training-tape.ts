/**
 * Compiles a training program into tapes (kernels/tape/training.as.ts): the losses alone, losses and
 * gradients, the gradient norm, the update.
 */
import * as training from "../../kernels/training-layout.ts";
import { isForwardOp, type TrainingOp, type TrainingProgram } from "../../program/training-ops.ts";
import { appendGradient } from "./backward-tape.ts";
import { appendForward, appendLoss } from "./forward-tape.ts";
import { TapeWords } from "./tape-words.ts";
import type { TrainingMemory } from "./training-memory.ts";

export type TrainingTape = "losses" | "gradients" | "norm" | "update";

export function buildTrainingTapes(
  program: TrainingProgram,
  memory: TrainingMemory,
): Record<TrainingTape, Uint32Array<ArrayBuffer>> {
  const { gradients, squareSums } = memory;
  const norm = new TapeWords(memory);
  norm.emit(training.OP_SQUARE_SUMS, [gradients.address, gradients.bytes, squareSums]);
  const update = new TapeWords(memory);
  for (const { tensor, kind, trainable } of program.parameters) {
    if (trainable) appendUpdate(update, tensor, kind === "matrix");
  }
  return {
    losses: compile(program.ops.slice(0, program.forwardOps), memory),
    gradients: compile(program.ops, memory),
    norm: norm.finish(),
    update: update.finish(),
  };
}

function compile(ops: readonly TrainingOp[], memory: TrainingMemory): Uint32Array<ArrayBuffer> {
  const tape = new TapeWords(memory);
  for (const op of ops) {
    if (isForwardOp(op)) appendForward(tape, op);
    else if (op.kind === "crossEntropy" || op.kind === "distillation") appendLoss(tape, op);
    else appendGradient(tape, op);
  }
  return tape.finish();
}

function appendUpdate(tape: TapeWords, tensor: string, decays: boolean): void {
  const { weights, gradients, first, second, size } = tape.parameter(tensor);
  if (gradients === undefined || first === undefined || second === undefined)
    throw new Error(`training tape: ${tensor} is not trainable`);
  const bytes = 16 * Math.ceil(size / 4); // whole vectors; the padding holds zeros
  const { scalars } = tape.memory;
  tape.emit(training.OP_ADAMW, [weights, gradients, first, second, bytes, scalars, decays ? 1 : 0]);
}
