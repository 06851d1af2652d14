// Decode speed of llama.cpp beside skim's own, for benches that time both in the same rounds.
import { runInChild } from "./child-process.mjs";

/**
 * Tokens per second of llama.cpp on a GGUF file with an f16 cache, in a process of its own (needs `npm ci --ignore-scripts` in
 * this folder), and the versions that ran.
 */
export async function llamaDecodeSpeed({ model, threads, contextLength, prompt, tokens }) {
  const result = await runInChild("llama-cpp-speed.mjs", {
    model,
    threads,
    keyValueFormat: "f16",
    contextLength,
    batchSize: 32,
    warmUp: { name: "warm-up", prompt, decode: 2 },
    tests: [{ name: `tg${tokens}`, prompt, decode: tokens }],
  });
  return { speed: (1000 * tokens) / result.tests[0].decodeMs, versions: result.versions };
}
