/**
 * Where a trimming run stands, as trim.json says it: one entry per size, the size chosen on validation, and what the test
 * set said in the end. A run that was stopped goes on from the last entry; what it holds is also the run's report.
 */
import { z } from "zod";
import { FormatError } from "../../errors.ts";

const reportSchema = z.strictObject({
  questions: z.int(),
  accuracy: z.number(),
  normalizedAccuracy: z.number(),
  standardError: z.number(),
  chance: z.number(),
  meanNll: z.number(),
});

const sizeSchema = z.strictObject({
  parameters: z.int(),
  /** Of all tensors as stored. */
  tensorBytes: z.int(),
  /** Stored weights that a generated token reads. */
  readBytes: z.number(),
  /** Keys and values of one position in f16. */
  keyValueBytes: z.int(),
});

const scanSchema = z.strictObject({
  unit: z.string(),
  /** What the choice goes by, higher is better. */
  quality: z.number(),
  accuracy: z.number().nullable(),
  meanNll: z.number().nullable(),
  norm: z.number().nullable(),
});

const roundSchema = z.strictObject({
  /** Sublayers that went before this round was tuned. */
  dropped: z.array(z.string()),
  /** The scan that chose them. */
  scan: z.array(scanSchema),
  /** Units within the tolerance of the best. */
  tied: z.int(),
  scanSeconds: z.number(),
  result: z
    .strictObject({
      step: z.int(),
      /** Mean training loss of the round's last updates; null where the round was resumed after them. */
      loss: z.number().nullable(),
      tuneSeconds: z.number(),
      validation: reportSchema,
      size: sizeSchema,
    })
    .optional(),
});

const stateSchema = z.strictObject({
  version: z.literal(1),
  /** Settings and data; a run continues only with the same. */
  fingerprint: z.string(),
  /** SHA-256 of the base model's tensors. */
  base: z.string(),
  splits: z.strictObject({
    train: z.string(),
    calibration: z.string(),
    validation: z.string(),
    test: z.string(),
  }),
  /** Blocks that are trained, r of all; and 1 - r, which the released code calls sparsity_ratio. */
  trained: z
    .strictObject({
      blocks: z.array(z.int()),
      share: z.number(),
      frozenShare: z.number(),
      /** Sums of the two qualities per block that decided it; empty where all are trained. */
      sums: z.array(z.number()),
    })
    .optional(),
  /** The model before any tuning, on validation. */
  untuned: reportSchema.optional(),
  rounds: z.array(roundSchema),
  deletions: z.int(),
  end: z.enum(["quality", "bytes", "units", "empty"]).optional(),
  /** Index of the chosen size, and whether it met what was asked. */
  chosen: z.strictObject({ round: z.int(), meets: z.boolean() }).optional(),
  /** On the test set: the chosen size, and the whole model with its tuning. */
  test: z.strictObject({ chosen: reportSchema, whole: reportSchema }).optional(),
});

export type TrimState = z.infer<typeof stateSchema>;
export type TrimRound = z.infer<typeof roundSchema>;
export type TrimSize = z.infer<typeof sizeSchema>;
export type ScanEntry = z.infer<typeof scanSchema>;

/** FormatError when the text is no such state. */
export function parseTrimState(name: string, text: string): TrimState {
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new FormatError(`${name}: is no state of skim train trim - remove the folder to start over`, {
      cause,
    });
  }
}
