/**
 * Every family end to end on synthetic checkpoints: both containers hold the same weights in different
 * layouts (names, permuted rows, fused matrices, factors as tensors or numbers), so their logits must agree;
 * and everything a family adds must show in the logits, or a mistake in it could not be noticed.
 */
import { describe, expect, test } from "vitest";
import { createReferenceExecutor } from "../executors/reference/reference-executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { loadProgram } from "./registry.ts";
import { createSyntheticCheckpoint, openSyntheticFolder, openSyntheticGguf } from "./synthetic/checkpoint.ts";
import {
  SYNTHETIC_FAMILIES,
  type SyntheticFamily,
  type SyntheticShape,
  syntheticShape,
} from "./synthetic/shape.ts";

const SEED = 7;
const TOKENS = Array.from({ length: 96 }, (_, t) => (t * 37 + 11) % 320);

/** Logits [n, V] of the fixed text. */
async function logitsOf(file: ModelFile, contextLength?: number): Promise<Float32Array> {
  const { program } = await loadProgram(file, { contextLength });
  const executor = await createReferenceExecutor(program, file, {
    threads: 1,
    limits: { contextLength: TOKENS.length, slots: 1, stepTokens: TOKENS.length },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  const rows = Int32Array.from(TOKENS, (_, t) => t);
  const logits = await executor.step({
    tokens: Int32Array.from(TOKENS),
    positions: rows,
    slots: new Int32Array(TOKENS.length),
    outputs: rows,
  });
  return logits.slice();
}

async function bothContainers(family: SyntheticFamily, changes: Partial<SyntheticShape> = {}) {
  const checkpoint = createSyntheticCheckpoint(family, syntheticShape(family, changes), SEED);
  return {
    gguf: await logitsOf(await openSyntheticGguf(checkpoint)),
    folder: await logitsOf(await openSyntheticFolder(checkpoint)),
  };
}

async function folderLogits(family: SyntheticFamily, changes: Partial<SyntheticShape> = {}) {
  const checkpoint = createSyntheticCheckpoint(family, syntheticShape(family, changes), SEED);
  return logitsOf(await openSyntheticFolder(checkpoint));
}

function worstDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
}

function deviation(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

describe("GGUF and folder of one checkpoint give the same logits", () => {
  const variants: readonly (readonly [string, SyntheticFamily, Partial<SyntheticShape>])[] = [
    ...SYNTHETIC_FAMILIES.map((family) => [family, family, {}] as const),
    ["llama with biases", "llama", { biases: true }],
    [
      "SmolLM (llama with a tied head)",
      "llama",
      {
        tiedHead: true,
        scaling: { kind: "none" },
        heads: 3,
        kvHeads: 1,
        width: 96,
        headWidth: 32,
        rotaryWidth: 32,
      },
    ],
    ["llama with linear scaling", "llama", { scaling: { kind: "linear", factor: 4 } }],
    ["llama with YaRN", "llama", { scaling: { kind: "yarn", factor: 8, originalContextLength: 32 } }],
    ["phi3 with all elements rotated", "phi3", { rotaryWidth: 16, scaling: { kind: "none" } }],
    ["phi3 with a window", "phi3", { window: 13 }],
  ];
  for (const [title, family, changes] of variants) {
    test(title, async () => {
      const { gguf, folder } = await bothContainers(family, changes);
      expect(deviation(gguf)).toBeGreaterThan(0.3);
      expect(deviation(gguf)).toBeLessThan(3);
      expect(worstDifference(gguf, folder)).toBeLessThan(2e-5);
    });
  }
});

describe("everything a family adds shows in the logits", () => {
  const changes: readonly (readonly [string, SyntheticFamily, Partial<SyntheticShape>])[] = [
    ["llama3 scaling", "llama", { scaling: { kind: "none" } }],
    ["biases", "llama", { biases: true }],
    ["gelu", "llama", { activation: "gelu" }],
    ["relu", "llama", { activation: "relu" }],
    ["fatrelu", "llama", { activation: "fatrelu", activationParameter: 0.2 }],
    ["mistral's window", "mistral", { window: 13 }],
    ["qwen2's window", "qwen2", { window: 13 }],
    ["qwen2's YaRN", "qwen2", { scaling: { kind: "none" } }],
    ["phi3's factors", "phi3", { scaling: { kind: "none" } }],
    ["phi3's partial rotation", "phi3", { rotaryWidth: 16 }],
  ];
  for (const [title, family, change] of changes) {
    test(title, async () => {
      const plain = await folderLogits(family);
      expect(worstDifference(plain, await folderLogits(family, change))).toBeGreaterThan(0.02);
    });
  }

  test("phi3 takes its short factors in a short context", async () => {
    const file = await openSyntheticFolder(createSyntheticCheckpoint("phi3", syntheticShape("phi3"), SEED));
    const long = await logitsOf(file);
    expect(worstDifference(long, await logitsOf(file, 65))).toBe(0);
    expect(worstDifference(long, await logitsOf(file, 64))).toBeGreaterThan(0.02);
  });
});
