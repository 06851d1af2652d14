/**
 * Writes trained weights as a Hugging Face folder that skim and other tools open: config, tokenizer files,
 * then the weights, each file complete before it gets its name.
 */
import type { TrainingExecutor } from "../executors/training/training-executor.ts";
import { writeTextFile } from "../formats/json-file.ts";
import type { HuggingFaceModelFile, JsonObject, TensorInfo } from "../formats/model-file.ts";
import { writeSafetensors } from "../formats/safetensors-writer.ts";
import { elementCount } from "../formats/tensor-layout.ts";
import { type TensorSource, tensorFromValues } from "../formats/tensor-source.ts";
import type { ByteSink } from "../platform/types.ts";
import type { WeightFormat } from "../quantization/weight-format.ts";

/** Makes the sink of a file of the folder. */
export type OpenSink = (fileName: string) => Promise<ByteSink>;

/** Names of the formats that weights are saved in. */
export const SAVED_FORMATS = ["f32", "f16", "bf16"] as const;

export type SavedFormat = (typeof SAVED_FORMATS)[number];

/** What transformers calls them. */
const TORCH_DTYPES: Readonly<Record<string, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/**
 * config.json with the dtype of `format`, generation_config.json and the tokenizer's files,
 * as `file` has them.
 */
export async function saveModelDescription(
  file: HuggingFaceModelFile,
  format: WeightFormat,
  open: OpenSink,
): Promise<void> {
  const files: readonly (readonly [string, JsonObject | undefined])[] = [
    [
      "config.json",
      {
        ...file.config,
        torch_dtype: TORCH_DTYPES[format.name],
        ...(file.recipes !== undefined && { skim: file.recipes }),
      },
    ],
    ["generation_config.json", file.generationConfig],
    ["tokenizer.json", await file.readTokenizer()],
    ["tokenizer_config.json", file.tokenizerConfig],
  ];
  for (const [name, json] of files) {
    if (json !== undefined) await writeTextFile(await open(name), `${JSON.stringify(json, undefined, 2)}\n`);
  }
  if (file.chatTemplate !== undefined)
    await writeTextFile(await open("chat_template.jinja"), file.chatTemplate);
}

/** Where trained values come from: an executor, or one whose adapters are merged. */
export interface TrainedWeights {
  readonly program: Pick<TrainingExecutor["program"], "parameters">;
  read(tensor: string, part: "weights"): Float32Array;
}

/** model.safetensors: trained tensors in `format`, those the program does not use as they were. */
export async function saveWeights(
  file: HuggingFaceModelFile,
  executor: TrainedWeights,
  format: WeightFormat,
  open: OpenSink,
): Promise<void> {
  const trained = new Map(executor.program.parameters.map((parameter) => [parameter.tensor, parameter]));
  const tensors = [...file.tensors.values()].map((tensor) =>
    trained.has(tensor.name)
      ? tensorFromValues(tensor.name, tensor.shape, format, executor.read(tensor.name, "weights"))
      : unchanged(file, tensor),
  );
  await writeSafetensors(await open("model.safetensors"), tensors, { format: "pt" });
}

function unchanged(file: HuggingFaceModelFile, { name, shape, format, bytes }: TensorInfo): TensorSource {
  return {
    name,
    shape,
    format,
    async *data() {
      const all = new Uint8Array(bytes);
      await file.readRows(name, 0, elementCount(shape.slice(0, -1)), all);
      yield all;
    },
  };
}
