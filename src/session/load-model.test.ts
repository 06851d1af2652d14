/** Loading that fails at the end leaves nothing running: threads would keep the process from ending. */
import { expect, test } from "vitest";
import { countedWorkers } from "../../test/counted-workers.ts";
import { createSyntheticCheckpoint, writeSyntheticFolder } from "../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../models/synthetic/shape.ts";
import { collectFiles, memoryFolder } from "../platform/memory.ts";
import type { Platform } from "../platform/types.ts";
import { f32 } from "../quantization/f32.ts";
import { loadModelOn } from "./load-model.ts";

/**
 * A folder in memory whose recipe asks for control tokens that its vocabulary lacks,
 * and the workers it has started.
 */
async function platformWithoutControlTokens(): Promise<{ platform: Platform; running: () => number }> {
  const checkpoint = createSyntheticCheckpoint("llama", syntheticShape("llama"), 1);
  const spans = { method: "attention-span", version: 1, instruction: "Compute.\n", headers: "full" };
  const config = { ...checkpoint.config, skim: { version: 1, recipes: [spans] } };
  const files = await collectFiles((open) => writeSyntheticFolder({ ...checkpoint, config }, open, f32));
  const { platform, running } = countedWorkers();
  const open = async () => ({ folder: memoryFolder("no control tokens", files) });
  return { platform: { ...platform, open }, running };
}

test("a model whose spans cannot be read leaves no worker behind", async () => {
  const { platform, running } = await platformWithoutControlTokens();
  const options = { engine: { threads: 2 } };
  await expect(loadModelOn(platform, "folder", options)).rejects.toThrow(/control tokens <\|span\|>/);
  expect(running()).toBe(0);
});
