/**
 * Tiny random checkpoints of every family in their real on-disk layouts. One checkpoint yields both
 * containers with the same weights, so the two must give the same logits; tests, `synth` and comparisons with
 * other engines use them.
 * Invariant: family, shape and seed determine every byte.
 */
import type { GgufField } from "../../formats/gguf-values.ts";
import { openGgufFile } from "../../formats/gguf-file.ts";
import { writeGguf } from "../../formats/gguf-writer.ts";
import { openHuggingFaceFolder } from "../../formats/huggingface-folder.ts";
import { writeTextFile } from "../../formats/json-file.ts";
import type { GgufModelFile, HuggingFaceModelFile, JsonObject } from "../../formats/model-file.ts";
import { writeSafetensors } from "../../formats/safetensors-writer.ts";
import { type TensorSource, tensorFromValues } from "../../formats/tensor-source.ts";
import {
  collectFiles,
  finishedBytes,
  memoryFolder,
  memorySink,
  memorySource,
} from "../../platform/memory.ts";
import type { ByteSink } from "../../platform/types.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { configJson, ggufMetadata } from "./metadata.ts";
import type { SyntheticFamily, SyntheticShape } from "./shape.ts";
import { folderTensors, ggufTensors, type SyntheticTensor } from "./tensors.ts";
import { tokenizerConfigJson, tokenizerJson } from "./vocabulary.ts";

export interface SyntheticCheckpoint {
  readonly name: string;
  readonly family: SyntheticFamily;
  readonly shape: SyntheticShape;
  /** The Hugging Face folder's config.json and tensors. */
  readonly config: JsonObject;
  readonly folderTensors: readonly SyntheticTensor[];
  /** The GGUF file's metadata and tensors. */
  readonly metadata: ReadonlyMap<string, GgufField>;
  readonly ggufTensors: readonly SyntheticTensor[];
}

export function createSyntheticCheckpoint(
  family: SyntheticFamily,
  shape: SyntheticShape,
  seed: number,
): SyntheticCheckpoint {
  const name = `synthetic-${family}-${seed}`;
  const tensors = folderTensors(family, shape, seed);
  return {
    name,
    family,
    shape,
    config: configJson(family, shape),
    folderTensors: tensors,
    metadata: ggufMetadata(family, shape, name),
    ggufTensors: ggufTensors(family, shape, tensors),
  };
}

/** Writes the GGUF file; matrices in `format` (f16 where its blocks do not fit a row), vectors in f32. */
export async function writeSyntheticGguf(
  checkpoint: SyntheticCheckpoint,
  sink: ByteSink,
  format: WeightFormat,
): Promise<void> {
  await writeGguf(sink, checkpoint.metadata, checkpoint.ggufTensors.map(sourceIn(format)));
}

/** Writes the Hugging Face folder file by file; `open` makes the sink of a file name. */
export async function writeSyntheticFolder(
  checkpoint: SyntheticCheckpoint,
  open: (fileName: string) => Promise<ByteSink>,
  format: WeightFormat,
): Promise<void> {
  const texts: [string, JsonObject][] = [
    ["config.json", checkpoint.config],
    ["tokenizer.json", tokenizerJson(checkpoint.shape.vocabularySize)],
    ["tokenizer_config.json", tokenizerConfigJson()],
  ];
  for (const [fileName, content] of texts) {
    await writeTextFile(await open(fileName), `${JSON.stringify(content, undefined, 2)}\n`);
  }
  const sources = checkpoint.folderTensors.map(sourceIn(format));
  await writeSafetensors(await open("model.safetensors"), sources, { format: "pt" });
}

/** The GGUF file in memory, read back by the real reader. */
export async function openSyntheticGguf(
  checkpoint: SyntheticCheckpoint,
  format: WeightFormat = f32,
): Promise<GgufModelFile> {
  const sink = memorySink(`${checkpoint.name}.gguf`);
  await writeSyntheticGguf(checkpoint, sink, format);
  return openGgufFile(memorySource(sink.name, finishedBytes(sink)));
}

/** The Hugging Face folder in memory, read back by the real reader. */
export async function openSyntheticFolder(
  checkpoint: SyntheticCheckpoint,
  format: WeightFormat = f32,
): Promise<HuggingFaceModelFile> {
  const files = await collectFiles((open) => writeSyntheticFolder(checkpoint, open, format));
  return openHuggingFaceFolder(memoryFolder(checkpoint.name, files));
}

function sourceIn(format: WeightFormat): (tensor: SyntheticTensor) => TensorSource {
  return (tensor) => {
    const columns = tensor.shape[tensor.shape.length - 1];
    const fitting = columns % format.blockSize === 0 ? format : f16;
    return tensorFromValues(
      tensor.name,
      tensor.shape,
      tensor.shape.length === 1 ? f32 : fitting,
      tensor.values(),
    );
  };
}
