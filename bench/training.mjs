// Times one training step: skim's forward, backward, gradient norm and update, and with --jax forward and backward of the
// same model, weights and batch in jax-js (bench/jax-llama.mjs), in turns. Reports tokens per second and
// 6 x parameters x tokens per second. With --record it appends a row to results/training.jsonl. Needs `npm run build`.
//   node bench/training.mjs [--threads 2] [--steps 5] [--recompute none|sublayers] [--jax] [--record]
import { parseArgs } from "node:util";
import { createWasmTraining } from "../dist/executors/training/wasm-training.js";
import { loadProgram } from "../dist/models/registry.js";
import { nodePlatform } from "../dist/platform/node.js";
import { differentiate } from "../dist/program/differentiate.js";
import { createFreshModel } from "../dist/training/fresh-model.js";
import { readLoad, watchOthers } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { median } from "./subjects.mjs";

/**
 * @import { Recompute } from "../dist/program/recomputation.js"
 * @import { JaxShape } from "./jax-llama.mjs"
 */

const { values: flags } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    steps: { type: "string", default: "5" },
    recompute: { type: "string", default: "none" },
    jax: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
  },
});
const [threads, steps] = [flags.threads, flags.steps].map(Number);
const [sequences, length] = [8, 256];
const rows = sequences * length;
/** @type {JaxShape & Parameters<typeof createFreshModel>[0]} */
const shape = {
  layers: 8,
  width: 256,
  heads: 8,
  kvHeads: 8,
  feedForwardWidth: 688,
  vocabularySize: 4096,
  contextLength: length,
  tiedHead: false,
  activation: "silu",
};
const recompute = /** @type {Recompute} */ (flags.recompute);
const platform = nodePlatform();
const before = readLoad();
const file = createFreshModel(shape, 1, { json: {}, config: {}, bosId: 0, eosId: 0 });
const { program } = await loadProgram(file);
const training = await createWasmTraining(platform, differentiate(program, { recompute }), {
  threads,
  limits: { rows, sequenceLength: length },
  simd: "auto",
});
const weights = new Map();
for (const { tensor, size } of training.program.parameters) {
  const values = new Float32Array(size);
  const [columns] = shapeOf(tensor).slice(-1);
  await file.readRows(tensor, 0, size / columns, new Uint8Array(values.buffer));
  training.write(tensor, "weights", values);
  weights.set(tensor, values);
}
const parameters = [...weights.values()].reduce((sum, { length: size }) => sum + size, 0);
const tokens = Int32Array.from({ length: rows }, (_, i) => (i * 7919) % shape.vocabularySize);
const targets = tokens.map((_, i) => ((i + 1) * 7919) % shape.vocabularySize);
const batch = {
  tokens,
  targets,
  positions: tokens.map((_, i) => i % length),
  bounds: Int32Array.from({ length: sequences + 1 }, (_, i) => i * length),
  outputs: tokens.map((_, i) => i),
};
const jaxStep = flags.jax ? await prepareJax() : undefined;

const others = watchOthers();
const skim = { losses: [], milliseconds: [] };
const jax = { losses: [], milliseconds: [] };
// Step 0 is the warm-up.
for (let step = 0; step <= steps; step++) {
  await measure(skim, step, () => skimStep(step + 1));
  if (jaxStep !== undefined) await measure(jax, step, jaxStep);
}
const otherCores = others();

const results = [describe("skim", skim), ...(jaxStep === undefined ? [] : [describe("jax-js", jax)])];
for (const { name, tokensPerSecond, gigaflops, milliseconds } of results) {
  console.log(
    `${name}: ${tokensPerSecond.toFixed(0)} tokens/s, ${gigaflops.toFixed(1)} GFLOP/s (best ${((6 * parameters * rows) / Math.min(...milliseconds) / 1e6).toFixed(1)})`,
  );
}
const ratio = results.length === 1 ? null : results[0].tokensPerSecond / results[1].tokensPerSecond;
if (ratio !== null) console.log(`${ratio.toFixed(1)} x jax-js`);
console.log(
  `${(parameters / 1e6).toFixed(2)} M parameters, ${threads} threads, activations ${(training.activationBytes / 1e6).toFixed(0)} MB (recompute ${flags.recompute}), other processes kept ${otherCores.toFixed(2)} cores busy`,
);
if (flags.record) {
  const row = {
    schema: "training/1",
    ...describeRun(
      `node bench/training.mjs --threads ${threads} --steps ${steps} --recompute ${flags.recompute}${flags.jax ? " --jax" : ""}`,
      { before, otherCores },
    ),
    shape,
    batch: { sequences, length },
    threads,
    parameters,
    activationBytes: training.activationBytes,
    results,
    ratio,
  };
  appendRow("training", row);
}
await training.dispose();
process.exit(0);

function shapeOf(tensor) {
  const info = file.tensors.get(tensor);
  if (info === undefined) throw new Error(`training: no tensor ${tensor}`);
  return info.shape;
}

/** Forward, backward and update; the loss before the update. */
async function skimStep(step) {
  const { target } = await training.accumulate(batch, { target: 1 / rows, teacher: 0, l1: 0 });
  const norm = await training.gradientNorm();
  await training.update({
    learningRate: 1e-3,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0.1,
    step,
    gradientScale: Math.min(1, 1 / norm),
  });
  return target / rows;
}

/** Forward and backward from the first weights; compiled by the first call. */
async function prepareJax() {
  const { createJaxStep } = await import("./jax-llama.mjs");
  const step = await createJaxStep(shape, sequences, length);
  const arrays = Object.fromEntries(
    [...weights].map(([tensor, values]) => [tensor, step.array(values, shapeOf(tensor))]),
  );
  return async () => (await step.run(arrays, tokens, targets)).loss;
}

async function measure(side, step, run) {
  const started = performance.now();
  side.losses.push(await run());
  if (step > 0) side.milliseconds.push(performance.now() - started);
}

function describe(name, { losses, milliseconds }) {
  const middle = median(milliseconds);
  return {
    name,
    firstLoss: losses[0],
    milliseconds,
    tokensPerSecond: (1000 * rows) / middle,
    gigaflops: (6 * parameters * rows) / middle / 1e6,
  };
}
