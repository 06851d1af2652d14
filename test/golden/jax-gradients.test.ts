/** Loss and gradients of a whole small Llama against those of jax-js, which knows nothing of skim's program or rules. */
import { expect, test } from "vitest";
import { createJaxStep } from "../../bench/jax-llama.mjs";
import { createWasmTraining } from "../../src/executors/training/wasm-training.ts";
import { loadProgram } from "../../src/models/registry.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { differentiate } from "../../src/program/differentiate.ts";
import { createFreshModel } from "../../src/training/fresh-model.ts";

const [SEQUENCES, LENGTH] = [2, 24];
const ROWS = SEQUENCES * LENGTH;
const SHAPE = {
  layers: 2,
  width: 32,
  heads: 4,
  kvHeads: 2,
  feedForwardWidth: 48,
  vocabularySize: 64,
  contextLength: LENGTH,
  tiedHead: false,
};
/** Largest difference, as a share of the tensor's largest gradient: both sum in 32 bits, in different orders. */
const BOUND = 5e-6;

test.each(["silu", "relu"] as const)(
  "gradients with %s differ from those of jax-js by at most 5e-6",
  async (activation) => {
    const shape = { ...SHAPE, activation };
    const file = createFreshModel(shape, 1, { json: {}, config: {}, bosId: 0, eosId: 0 });
    const { program } = await loadProgram(file);
    const training = await createWasmTraining(nodePlatform(), differentiate(program), {
      threads: 2,
      limits: { rows: ROWS, sequenceLength: LENGTH },
      simd: "auto",
    });
    const jax = await createJaxStep(shape, SEQUENCES, LENGTH);
    const tensors = training.program.parameters.map(({ tensor }) => tensor);
    const weights = Object.fromEntries(
      await Promise.all(
        tensors.map(async (tensor) => {
          const dimensions = file.tensors.get(tensor)?.shape ?? [];
          const size = dimensions.reduce((product, n) => product * n, 1);
          const values = new Float32Array(size);
          await file.readRows(tensor, 0, size / (dimensions.at(-1) ?? 1), new Uint8Array(values.buffer));
          training.write(tensor, "weights", values);
          return [tensor, jax.array(values, dimensions)] as const;
        }),
      ),
    );
    const tokens = Int32Array.from({ length: ROWS }, (_, i) => (i * 7919 + 3) % 64);
    const targets = tokens.map((token) => (token * 31 + 11) % 64);
    const { target } = await training.accumulate(
      {
        tokens,
        targets,
        positions: tokens.map((_, i) => i % LENGTH),
        bounds: Int32Array.from({ length: SEQUENCES + 1 }, (_, i) => i * LENGTH),
        outputs: tokens.map((_, i) => i),
      },
      { target: 1 / ROWS, teacher: 0, l1: 0 },
    );
    const { loss, gradients } = await jax.run(weights, tokens, targets);
    expect(Math.abs(target / ROWS - loss)).toBeLessThan(1e-6 * loss);
    expect(Object.keys(gradients).sort()).toEqual([...tensors].sort());
    for (const tensor of tensors) {
      const ours = training.read(tensor, "gradients");
      const theirs = gradients[tensor];
      const largest = theirs.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const difference = ours.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i])), 0);
      expect(largest, tensor).toBeGreaterThan(1e-6);
      expect(difference / largest, tensor).toBeLessThan(BOUND);
    }
    await training.dispose();
  },
);
