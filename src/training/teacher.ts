/**
 * Distillation (Hinton et al. 2015, arXiv 1503.02531): another model's logits for the tokens a batch
 * predicts. The teacher runs in an executor of its own, one sequence at a time, so it costs its weights, the
 * keys and values of one sequence and one forward pass over every batch.
 * Invariant: a teacher has the student's vocabulary, token for token.
 */
import { OptionError } from "../errors.ts";
import type { Executor } from "../executors/executor.ts";
import type { TrainingBatch } from "../executors/training/training-executor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export interface Teacher {
  /** Share of the distance to the teacher in the loss, above 0 up to 1; the targets have the rest. */
  readonly weight: number;
  /** The batch with the teacher's logits. */
  teach(batch: TrainingBatch): Promise<TrainingBatch>;
}

/** A model and its tokenizer, as far as vocabularies go. */
export interface Speaker {
  readonly name: string;
  /** V of its logits. */
  readonly vocabularySize: number;
  readonly tokenizer: Pick<Tokenizer, "vocabularySize" | "tokenText">;
}

/** Throws OptionError naming the first difference. */
export function checkVocabularies(student: Speaker, teacher: Speaker): void {
  const advice = "distil between models of one tokenizer";
  if (student.vocabularySize !== teacher.vocabularySize) {
    throw new OptionError(
      `${teacher.name}: the teacher has a vocabulary of ${teacher.vocabularySize}, expected the student's ${student.vocabularySize} - ${advice}`,
    );
  }
  const size = Math.max(student.tokenizer.vocabularySize, teacher.tokenizer.vocabularySize);
  for (let id = 0; id < size; id++) {
    const [got, expected] = [teacher, student].map(({ tokenizer }) => tokenizer.tokenText(id));
    if (got !== expected) {
      throw new OptionError(
        `${teacher.name}: token ${id} of the teacher is ${JSON.stringify(got)}, expected the student's ${JSON.stringify(expected)} - ${advice}`,
      );
    }
  }
}

/** A teacher that `executor` runs; it needs one slot as long as the batches' sequences. */
export function executorTeacher(executor: Executor, weight: number): Teacher {
  const { vocabularySize } = executor.program;
  return {
    weight,
    async teach(batch) {
      const logits = new Float32Array(batch.outputs.length * vocabularySize); // [R, V]
      let done = 0;
      for (let i = 0; i + 1 < batch.bounds.length; i++) {
        const [first, end] = [batch.bounds[i], batch.bounds[i + 1]];
        const outputs = batch.outputs.filter((row) => row >= first && row < end).map((row) => row - first);
        if (outputs.length === 0) continue;
        const rows = await executor.step({
          tokens: batch.tokens.slice(first, end),
          positions: batch.positions.slice(first, end),
          slots: new Int32Array(end - first),
          outputs,
          prompt: true,
          ...(batch.visible && { visible: batch.visible.slice(first, end) }),
        });
        logits.set(rows, done);
        done += rows.length;
      }
      return { ...batch, teacher: logits };
    },
  };
}
