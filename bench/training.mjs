// Times one training step (forward, backward, gradient norm, update) and reports tokens per second and
// 6 x parameters x tokens per second. Needs a build: npm run build && node bench/training.mjs [threads] [recompute]
import { createWasmTraining } from "../dist/executors/training/wasm-training.js";
import { loadProgram } from "../dist/models/registry.js";
import { nodePlatform } from "../dist/platform/node.js";
import { differentiate } from "../dist/program/differentiate.js";
import { createFreshModel } from "../dist/training/fresh-model.js";

const [threads = "2", recompute = "none"] = process.argv.slice(2);
const [sequences, length, steps] = [8, 256, 5];
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
const file = createFreshModel(shape, 1, { json: {}, config: {}, bosId: 0, eosId: 0 });
const { program } = await loadProgram(file);
const training = await createWasmTraining(nodePlatform(), differentiate(program, { recompute }), {
  threads: Number(threads),
  limits: { rows: sequences * length, sequenceLength: length },
  simd: "auto",
});
let parameters = 0;
for (const { tensor, size } of training.program.parameters) {
  const values = new Float32Array(size);
  await file.readRows(tensor, 0, size / file.tensors.get(tensor).shape.at(-1), new Uint8Array(values.buffer));
  training.write(tensor, "weights", values);
  parameters += size;
}
const rows = sequences * length;
const batch = {
  tokens: Int32Array.from({ length: rows }, (_, i) => (i * 7919) % shape.vocabularySize),
  positions: Int32Array.from({ length: rows }, (_, i) => i % length),
  bounds: Int32Array.from({ length: sequences + 1 }, (_, i) => i * length),
  outputs: Int32Array.from({ length: rows }, (_, i) => i),
  targets: Int32Array.from({ length: rows }, (_, i) => ((i + 1) * 7919) % shape.vocabularySize),
};
const times = [];
for (let step = 1; step <= steps; step++) {
  const start = performance.now();
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
  times.push(performance.now() - start);
  console.log(`step ${step}: loss ${(target / rows).toFixed(4)}, ${times.at(-1).toFixed(0)} ms`);
}
times.sort((a, b) => a - b);
const seconds = times[Math.floor(steps / 2)] / 1000;
console.log(
  `${(parameters / 1e6).toFixed(2)} M parameters, ${threads} threads, activations ${(training.activationBytes / 1e6).toFixed(0)} MB (recompute ${recompute}): ` +
    `${(rows / seconds).toFixed(0)} tokens/s, ${((6 * parameters * rows) / seconds / 1e9).toFixed(1)} GFLOP/s, best ${((6 * parameters * rows) / times[0] / 1e6).toFixed(1)}`,
);
await training.dispose();
