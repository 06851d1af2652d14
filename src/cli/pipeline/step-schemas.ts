/**
 * What each step of a recipe can say. The fields are flags of the step's command (step-commands.ts) in camel
 * case; what is left out is the command's default. A switch is the one literal that its flag can say.
 */
import { z } from "zod";
import { UNIT_KINDS } from "../../methods/trimllm/scan.ts";
import { SAVED_FORMATS } from "../../training/save-model.ts";
import { REPAIR_LOSSES } from "../train-dip-repair.ts";

const share = (what: string) => z.number().gt(0).max(1).optional().describe(what);
const count = (what: string) => z.int().min(1).optional().describe(what);
const file = (what: string) => z.string().min(1).describe(`${what}, relative to the recipe`);

/** Flags that every kind of training shares; trimming has some of them. */
const loopFields = {
  data: file("training data: text, or .jsonl with prompt and answer"),
  steps: count("updates"),
  learningRate: z.number().gt(0).max(10).optional().describe("peak of the schedule"),
  warmup: z.int().min(0).optional().describe("updates until the peak"),
  context: z.int().min(2).optional().describe("tokens per sequence"),
  batch: count("sequences per micro-batch"),
  accumulate: count("micro-batches per update"),
  weightDecay: z.number().min(0).max(10).optional().describe("of matrices"),
  clip: z.number().gt(0).optional().describe("largest gradient norm"),
  checkpointEvery: count("updates between checkpoints"),
  seed: z.int().min(0).max(0xffffffff).optional().describe("seed of the order of data"),
};

/** And of training that keeps the model that validates best. */
const trainingFields = {
  ...loopFields,
  valid: file("the same, held out: the model with the lowest loss on it is kept").optional(),
  evaluateEvery: count("updates between validations"),
  validTokens: count("most tokens of a validation text to score"),
  patience: count("validations without improvement before stopping"),
};

const weights = z.enum(SAVED_FORMATS).optional().describe("storage of the trained weights");

const tune = z
  .strictObject({
    step: z.literal("tune"),
    ...trainingFields,
    weights,
  })
  .describe("train all weights further (skim train)");

const adapterFields = {
  loraAlpha: z.number().gt(0).optional().describe("the adapters count alpha / rank"),
  loraTargets: z.array(z.string().min(1)).min(1).optional().describe("linears that get an adapter"),
};

const lora = z
  .strictObject({
    step: z.literal("lora"),
    ...trainingFields,
    loraRank: z.int().min(1).describe("rank of the adapters"),
    ...adapterFields,
    weights,
  })
  .describe("train low-rank adapters and merge them (skim train --lora-rank)");

const columnFields = {
  density: share("share of the feed-forward weights to read"),
  inputDensity: share("kept columns of gate and up, instead of density"),
  gluDensity: share("kept columns of down, instead of density"),
};

const dipRepair = z
  .strictObject({
    step: z.literal("dip-repair"),
    ...trainingFields,
    ...columnFields,
    loss: z.enum(REPAIR_LOSSES).optional().describe("learn from the dense model's predictions or the text"),
    loraRank: count("rank of the adapters"),
    ...adapterFields,
    weights,
  })
  .describe("adapters that make up for skipped columns, merged (skim train dip-repair)");

const spans = z
  .strictObject({
    step: z.literal("spans"),
    ...trainingFields,
    spans: z.literal("masked").default("masked").describe("learn under the masks that answers state"),
    weights,
  })
  .describe("teach a model to state its attention spans (skim train --spans masked)");

const prosparse = z
  .strictObject({
    step: z.literal("prosparse"),
    ...loopFields,
    valid: file("held-out text, for the threshold"),
    peak: z.number().min(0).optional().describe("largest factor of the L1 penalty"),
    fixed: z.literal(true).optional().describe("the factor from the first update on"),
    stageEnds: z.array(z.int().min(0)).min(2).optional().describe("last update of each stage"),
    stagePeaks: z.array(z.number().min(0)).min(1).optional().describe("factor at the end of each stage"),
    thresholds: z.array(z.number().min(0)).min(1).optional().describe("thresholds to try after training"),
    allowance: z.number().min(0).max(1).optional().describe("perplexity that a threshold may cost"),
    weights,
  })
  .describe("ReLU, rising L1 penalty and threshold (skim train prosparse)");

const neurons = z
  .strictObject({
    step: z.literal("neurons"),
    text: file("text that shows how many neurons live, or .jsonl with prompt and answer"),
    mostLive: share("largest share of live neurons that pays"),
    segments: count("most segments of the text to use"),
    predictor: z.literal(true).optional().describe("predict live neurons, approximately"),
    rank: count("rank of the predictors"),
    leastRecall: share("of live neurons that a predictor must find"),
  })
  .describe("skip neurons whose gate is closed (skim compress prosparse)");

const trim = z
  .strictObject({
    step: z.literal("trim"),
    data: file("text, or .jsonl with prompt and options or answer"),
    test: file("the same, looked at once").optional(),
    unit: z.enum(UNIT_KINDS).optional().describe("what goes as one"),
    leastAccuracy: z.number().min(0).max(1).optional().describe("end when accuracy is below"),
    mostPerplexity: z.number().gt(0).optional().describe("end when perplexity is above"),
    mostBytes: z.string().optional().describe('end when all tensors together are this small, e.g. "4MB"'),
    mostUnits: count("end when this many units are gone"),
    trainedShare: share("share of the blocks that is trained"),
    adapters: z.int().min(1).optional().describe("train low-rank adapters of this rank instead of weights"),
    calibration: count("examples that decide which unit goes"),
    validation: count("examples that decide the size"),
    steps: loopFields.steps.describe("updates per size"),
    context: loopFields.context.describe("most tokens of an example"),
    batch: loopFields.batch,
    learningRate: loopFields.learningRate.describe("peak of the schedule over all sizes"),
    checkpointEvery: loopFields.checkpointEvery,
    seed: loopFields.seed.describe("seed of splits and order of data"),
    weights,
  })
  .describe("drop layer after layer, tuned in between (skim train trim)");

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

const tender = z
  .strictObject({
    step: z.literal("tender"),
    text: file("calibration text, or .jsonl with prompt and answer"),
    bits: z.union([z.literal(4), z.literal(8), z.literal(16)]).describe("bits of activations"),
    weightBits: z
      .union([z.literal(4), z.literal(8)])
      .optional()
      .describe("bits of weights"),
    groups: count("most channel groups"),
    chunkRows: count("positions that share ranges"),
    rounding: z
      .enum(["up", "down", "search"])
      .optional()
      .describe("group ranges cover the calibration, clip, or whatever loses less"),
    channelBias: z.literal(false).optional().describe("do not centre channels before quantizing"),
    attention: z.literal(true).optional().describe("make attention's products of integers too"),
    head: z.literal(false).optional().describe("leave the output head as it is"),
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
    ...columnFields,
    lora: file("folder of adapters (adapter_config.json) to merge first").optional(),
  })
  .describe("read only the columns that matter to a token (skim compress dip)");

export const stepSchema = z.discriminatedUnion("step", [
  trim,
  drop,
  tune,
  lora,
  dipRepair,
  spans,
  prosparse,
  neurons,
  tender,
  groups,
  dip,
]);

export type Step = z.infer<typeof stepSchema>;
