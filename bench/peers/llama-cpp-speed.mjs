// Child process: times llama.cpp on the given tests. Greedy sampling through the same generator that its users call.
import { answerJob } from "./child-process.mjs";
import { openLlamaCpp } from "./llama-cpp.mjs";
import { watchOthers } from "./machine.mjs";

const GREEDY = { temperature: 0, yieldEogToken: true };

answerJob(async ({ warmUp, tests, ...options }) => {
  const startedAt = performance.now();
  const { sequence, versions } = await openLlamaCpp(options);
  const loadMs = performance.now() - startedAt;
  const readOthers = watchOthers();
  await runTest(sequence, warmUp);
  const measured = [];
  for (const test of tests) measured.push(await runTest(sequence, test));
  return {
    versions,
    loadMs,
    tests: measured,
    otherCores: readOthers(),
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
});

/** Evaluates the prompt, then `decode` more tokens after the first generated one. */
async function runTest(sequence, { name, prompt, decode }) {
  await sequence.clearHistory();
  const ids = [];
  const startedAt = performance.now();
  let firstAt = startedAt;
  for await (const id of sequence.evaluate(prompt, GREEDY)) {
    if (ids.push(id) === 1) firstAt = performance.now();
    if (ids.length === decode + 1) break;
  }
  return { name, prefillMs: firstAt - startedAt, decodeMs: performance.now() - firstAt, ids };
}
