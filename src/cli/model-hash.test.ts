/** The hash is that of names, shapes and bytes, in any order of tensors and however often they are read. */
import { expect, test } from "vitest";
import type { ModelFile } from "../formats/model-file.ts";
import { overlayFile, vectorTensor } from "../formats/overlay-file.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../models/synthetic/shape.ts";
import { f32 } from "../quantization/f32.ts";
import { hashTensors } from "./model-hash.ts";

const open = (seed: number) =>
  openSyntheticFolder(createSyntheticCheckpoint("llama", syntheticShape("llama"), seed));

async function hash(file: ModelFile, signal = new AbortController().signal): Promise<[string, number]> {
  let last = 0;
  const onProgress = (done: number, total: number) => {
    last = done / total;
  };
  return [await hashTensors(file, { signal, onProgress }), last];
}

test("equal tensors hash equally, others do not", async () => {
  const [file, same, other] = [await open(1), await open(1), await open(2)];
  const [value, share] = await hash(file);
  expect(value).toMatch(/^[0-9a-f]{64}$/);
  expect(share).toBe(1);
  const reversed = { ...same, tensors: new Map([...same.tensors].reverse()) };
  expect((await hash(reversed))[0]).toBe(value);
  expect((await hash(other))[0]).not.toBe(value);
  const [name] = [...file.tensors.keys()].filter((key) => key.endsWith("norm.weight"));
  const changed = overlayFile(file, [vectorTensor(name, f32, new Float32Array(64).fill(1.5))], undefined);
  expect((await hash(changed))[0]).not.toBe(value);
  expect((await hash(overlayFile(file, [], undefined, [name])))[0]).not.toBe(value);
});

test("stops when it is asked to", async () => {
  await expect(hash(await open(1), AbortSignal.abort())).rejects.toThrow();
});
