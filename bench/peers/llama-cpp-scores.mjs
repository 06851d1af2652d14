// Child process: llama.cpp's logits of a fixed text, and of the tokens it decodes greedily.
import { answerJob } from "./child-process.mjs";
import { openLlamaCpp } from "./llama-cpp.mjs";

const ALL_LOGITS = { generateNext: { logits: true } };

answerJob(async ({ vocabularySize, tokens, promptLength, greedyCount, ...options }) => {
  const { sequence, versions } = await openLlamaCpp({ ...options, batchSize: tokens.length });
  const logits = await evaluate(sequence, tokens, vocabularySize);
  await sequence.clearHistory();

  // The last prompt token's row decides the first id; then one row per step, as a decode loop has it.
  const greedyLogits = new Float32Array(greedyCount * vocabularySize);
  const greedyIds = [];
  const promptLogits = await evaluate(sequence, tokens.slice(0, promptLength), vocabularySize);
  let row = promptLogits.subarray((promptLength - 1) * vocabularySize);
  for (let i = 0; i < greedyCount; i++) {
    greedyLogits.set(row, i * vocabularySize);
    greedyIds.push(row.indexOf(row.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY)));
    row = await evaluate(sequence, [greedyIds[i]], vocabularySize);
  }
  return { versions, logits, greedyIds, greedyLogits };
});

/** Logits [tokens.length, V], in the order of ids. */
async function evaluate(sequence, tokens, vocabularySize) {
  const outputs = await sequence.controlledEvaluate(tokens.map((token) => [token, ALL_LOGITS]));
  const logits = new Float32Array(tokens.length * vocabularySize).fill(Number.NaN);
  outputs.forEach((output, position) => {
    for (const [token, logit] of output.next.logits) logits[position * vocabularySize + token] = logit;
  });
  return logits;
}
