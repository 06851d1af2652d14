/**
 * What each step of a recipe can say. The fields are flags of the step's command (step-commands.ts) in camel case; what is
 * left out is the command's default.
 */
import { z } from "zod";

const share = (what: string) => z.number().gt(0).max(1).optional().describe(what);
const count = (what: string) => z.int().min(1).optional().describe(what);
const file = (what: string) => z.string().min(1).describe(`${what}, relative to the recipe`);

/** Flags that every kind of training shares. */
const trainingFields = {
  data: file("training data: text, or .jsonl with prompt and answer"),
  valid: file("the same, held out: the model with the lowest loss on it is kept").optional(),
  steps: count("updates"),
  learningRate: z.number().gt(0).max(10).optional().describe("peak of the schedule"),
  warmup: z.int().min(0).optional().describe("updates until the peak"),
  context: z.int().min(2).optional().describe("tokens per sequence"),
  batch: count("sequences per micro-batch"),
  accumulate: count("micro-batches per update"),
  weightDecay: z.number().min(0).max(10).optional().describe("of matrices"),
  clip: z.number().gt(0).optional().describe("largest gradient norm"),
  evaluateEvery: count("updates between validations"),
  checkpointEvery: count("updates between checkpoints"),
  validTokens: count("most tokens of a validation text to score"),
  patience: count("validations without improvement before stopping"),
  seed: z.int().min(0).max(0xffffffff).optional().describe("seed of the order of data"),
};

const tune = z
  .strictObject({
    step: z.literal("tune"),
    ...trainingFields,
    weights: z.enum(["f32", "f16", "bf16"]).optional().describe("storage of the tuned weights"),
  })
  .describe("train all weights further (skim train)");

const tender = z
  .strictObject({
    step: z.literal("tender"),
    text: file("calibration text"),
    bits: z.union([z.literal(4), z.literal(8), z.literal(16)]).describe("bits of activations"),
    weightBits: z
      .union([z.literal(4), z.literal(8)])
      .optional()
      .describe("bits of weights"),
    groups: count("most channel groups"),
    chunkRows: count("positions that share ranges"),
    rounding: z.enum(["up", "down"]).optional().describe("group ranges cover the calibration or clip"),
    channelBias: z.boolean().optional().describe("centre channels before quantizing"),
    head: z.boolean().optional().describe("quantize the output head too"),
    context: z.int().min(2).optional().describe("tokens per calibration segment"),
    segments: count("most segments of the text to use"),
  })
  .describe("integer weights and activations in channel groups (skim compress tender)");

const groups = z
  .strictObject({
    step: z.literal("input-groups"),
    size: z
      .union([z.literal(32), z.literal(64), z.literal(128)])
      .optional()
      .describe("inputs per group"),
  })
  .describe("4-bit weights with a scale per group of inputs (skim compress input-groups)");

const dip = z
  .strictObject({
    step: z.literal("dip"),
    density: share("share of the feed-forward weights to read"),
    inputDensity: share("kept columns of gate and up, instead of density"),
    gluDensity: share("kept columns of down, instead of density"),
  })
  .describe("read only the columns that matter to a token (skim compress dip)");

const drop = z
  .strictObject({
    step: z.literal("drop"),
    layers: z.array(z.int().min(0)).min(1).optional().describe("layers to leave out, from 0"),
    sublayers: z
      .array(z.string().regex(/^\d+\.(attention|mlp)$/))
      .min(1)
      .optional()
      .describe("sublayers to leave out, such as 3.attention"),
    mergeInto: z
      .int()
      .min(0)
      .optional()
      .describe("layer that takes up what distinguishes the layers left out"),
  })
  .describe("leave out layers, or the attention or MLP of some (skim compress drop)");

export const stepSchema = z.discriminatedUnion("step", [tune, tender, groups, dip, drop]);

export type Step = z.infer<typeof stepSchema>;
