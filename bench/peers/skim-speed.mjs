// Child process: times skim on the given tests through its public API, and measures the memory roofline with the same
// threads in the same process.
import { answerJob } from "./child-process.mjs";
import { watchOthers } from "./machine.mjs";
import { importSkim } from "./skim-build.mjs";

const { loadModel } = await importSkim("index.js");
const { parameterCount } = await importSkim("formats/tensor-layout.js");

/** Keeps end tokens from being chosen, so that every run decodes as many tokens as it was asked for. */
const NEVER = -1e9;

answerJob(async ({ model: source, contextLength, batchSize, threads, keyValueFormat, warmUp, tests }) => {
  const model = await loadModel(source, {
    model: { contextLength, keyValueFormat },
    engine: { threads, stepTokens: batchSize },
  });
  const readOthers = watchOthers();
  await runTest(model, warmUp);
  const measured = [];
  for (const test of tests) measured.push(await runTest(model, test));
  const gigabytesPerSecond = await model.executor.measureBandwidth();
  const result = {
    loadMs: model.loadMs,
    parameters: parameterCount(model.file),
    tensorBytes: model.file.tensorBytes,
    weightBytes: model.executor.weightBytes,
    simd: model.executor.simd,
    gigabytesPerSecond,
    tests: measured,
    otherCores: readOthers(),
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
  await model.dispose();
  return result;
});

/** Evaluates the prompt, then `decode` more tokens after the first generated one. */
async function runTest(model, { name, prompt, decode }) {
  const logitBias = Object.fromEntries([...model.tokenizer.endIds].map((id) => [id, NEVER]));
  const ids = [];
  const startedAt = performance.now();
  let firstAt = startedAt;
  const generation = model.generate(prompt, { temperature: 0, maxTokens: decode + 1, logitBias });
  for await (const piece of generation) {
    if (ids.push(piece.tokenId) === 1) firstAt = performance.now();
  }
  const decodeMs = performance.now() - firstAt;
  const { reusedTokens, reads } = await generation.result();
  if (reusedTokens > 0) throw new Error(`skim: ${name} reused ${reusedTokens} prompt tokens, expected none`);
  return { name, prefillMs: firstAt - startedAt, decodeMs, ids, bytesPerToken: reads.bytesPerToken };
}
