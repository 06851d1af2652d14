// Child process: skim's logits of a fixed text, and of the tokens it decodes greedily, on a chosen executor.
import { answerJob } from "./child-process.mjs";
import { importSkim } from "./skim-build.mjs";

const { loadModel } = await importSkim("index.js");

answerJob(
  async ({ model: source, executor, vocabularySize, tokens, promptLength, greedyCount, ...options }) => {
    const { contextLength, keyValueFormat, threads } = options;
    const model = await loadModel(source, {
      model: { contextLength, keyValueFormat },
      engine: { executor, threads },
    });
    const logits = await evaluate(model.executor, tokens, 0);

    const greedyLogits = new Float32Array(greedyCount * vocabularySize);
    const greedyIds = [];
    const promptLogits = await evaluate(model.executor, tokens.slice(0, promptLength), 0);
    let row = promptLogits.subarray((promptLength - 1) * vocabularySize);
    for (let i = 0; i < greedyCount; i++) {
      greedyLogits.set(row, i * vocabularySize);
      greedyIds.push(
        row.indexOf(row.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY)),
      );
      row = await evaluate(model.executor, [greedyIds[i]], promptLength + i);
    }
    await model.dispose();
    return { logits, greedyIds, greedyLogits };
  },
);

/** Logits [tokens.length, V] of tokens at consecutive positions; later positions of an earlier text are overwritten. */
async function evaluate(executor, tokens, firstPosition) {
  const rows = Int32Array.from(tokens, (_, row) => row);
  const logits = await executor.step({
    tokens: Int32Array.from(tokens),
    positions: rows.map((row) => firstPosition + row),
    slots: new Int32Array(tokens.length),
    outputs: rows,
  });
  return logits.slice();
}
