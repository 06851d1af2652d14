/**
 * A Hugging Face model folder as a ModelFile: config.json, tokenizer files, one safetensors file or many with
 * model.safetensors.index.json. A folder that holds a tokenizer but no weights opens as a vocabulary.
 * Source: the layout `save_pretrained` of huggingface/transformers writes.
 * Invariant: file names from inside the files are used only as names directly inside the folder.
 */
import { z } from "zod";
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSource, Folder } from "../platform/types.ts";
import { withFile } from "../platform/with-file.ts";
import { checkSchema, readJsonFile, readTextFile } from "./json-file.ts";
import { openGgufFile } from "./gguf-file.ts";
import type { HuggingFaceModelFile, JsonObject, ModelFile } from "./model-file.ts";
import { readSafetensorsHeader } from "./safetensors-reader.ts";
import { type StoredTensor, TensorTable } from "./tensor-layout.ts";

/** config.json and its kin take some KB; RoPE factor lists and label maps make some MB at worst. */
const MAX_CONFIG_BYTES = 1 << 24;

/** The largest tokenizer.json files (262,144 tokens with merges) take some 35 MB. */
const MAX_TOKENIZER_BYTES = 1 << 28;

/** An index takes some 100 bytes per tensor. */
const MAX_INDEX_BYTES = 1 << 26;

const INDEX_FILE = "model.safetensors.index.json";
const configSchema = z.looseObject({ model_type: z.string().min(1) });
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** Architecture of a folder that has a tokenizer but no config.json; no family answers to it. */
const NO_ARCHITECTURE = "(no config.json)";

/** A GGUF file without tensors: hyper-parameters and tokenizer of a folder that was compressed from GGUF. */
export const GGUF_METADATA_FILE = "metadata.gguf";

/**
 * Opens a folder as what it was made from: a checkpoint that came from GGUF keeps its metadata, tensor names
 * and row order (GGUF permutes query and key rows) and is read as one. Errors as `openHuggingFaceFolder`.
 */
export async function openFolder(folder: Folder): Promise<ModelFile> {
  const opened = await openHuggingFaceFolder(folder);
  try {
    if (!(await folder.list()).includes(GGUF_METADATA_FILE)) return opened;
    const { architecture, metadata } = await withFile(await folder.open(GGUF_METADATA_FILE), openGgufFile);
    const { name, tensors, tensorBytes, recipes } = opened;
    return {
      container: "gguf",
      name,
      architecture,
      metadata,
      tensors,
      tensorBytes,
      recipes,
      readRows: opened.readRows,
      close: opened.close,
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Opens a folder. FormatError when files are missing or damaged, UnsupportedError for other weight files. */
export async function openHuggingFaceFolder(folder: Folder): Promise<HuggingFaceModelFile> {
  const names = new Set(await folder.list());
  checkIsModelFolder(folder, names);
  const config = await readOptionalJson(folder, names, "config.json", MAX_CONFIG_BYTES);
  const architecture =
    config === undefined
      ? NO_ARCHITECTURE
      : checkSchema(`${folder.name}/config.json`, configSchema, config).model_type;
  const generationConfig = await readOptionalJson(folder, names, "generation_config.json", MAX_CONFIG_BYTES);
  const tokenizerConfig = await readOptionalJson(folder, names, "tokenizer_config.json", MAX_CONFIG_BYTES);
  const chatTemplate = await readChatTemplate(folder, names);
  const sources: ByteSource[] = [];
  const close = async () => {
    await Promise.all(sources.map((source) => source.close()));
  };
  try {
    const table = new TensorTable(folder.name, await openWeights(folder, names, sources));
    return {
      container: "huggingface",
      name: folder.name,
      architecture,
      tensors: table.infos,
      tensorBytes: table.totalBytes,
      readRows: (tensor, firstRow, rowCount, target) => table.readRows(tensor, firstRow, rowCount, target),
      close,
      config: config ?? {},
      recipes: config?.skim,
      generationConfig,
      tokenizerConfig,
      readTokenizer: () => readOptionalJson(folder, names, "tokenizer.json", MAX_TOKENIZER_BYTES),
      chatTemplate,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function checkIsModelFolder(folder: Folder, names: ReadonlySet<string>): void {
  if (names.has("config.json") || names.has("tokenizer.json")) return;
  const gguf = [...names].find((name) => name.endsWith(".gguf"));
  const advice =
    gguf === undefined ? "pass a Hugging Face model folder or a GGUF file" : `pass the file ${gguf} itself`;
  throw new FormatError(`${folder.name}: is not a model folder, expected a config.json in it - ${advice}`);
}

async function readOptionalJson(
  folder: Folder,
  names: ReadonlySet<string>,
  file: string,
  limit: number,
): Promise<JsonObject | undefined> {
  if (!names.has(file)) return undefined;
  return withFile(await folder.open(file), (source) => readJsonFile(source, limit));
}

async function readChatTemplate(folder: Folder, names: ReadonlySet<string>): Promise<string | undefined> {
  if (!names.has("chat_template.jinja")) return undefined;
  return withFile(await folder.open("chat_template.jinja"), (source) =>
    readTextFile(source, MAX_CONFIG_BYTES),
  );
}

/**
 * Opens all weight files, adding each to `opened` at once so that the caller can close them after a failure.
 */
async function openWeights(
  folder: Folder,
  names: ReadonlySet<string>,
  opened: ByteSource[],
): Promise<StoredTensor[]> {
  if (names.has(INDEX_FILE)) return openShards(folder, names, opened);
  const candidates = [...names].filter((name) => name.endsWith(".safetensors"));
  const file = candidates.includes("model.safetensors") ? "model.safetensors" : candidates[0];
  if (file === undefined) {
    const other = [...names].find((name) => /\.(bin|pt|pth|ckpt|h5|msgpack|onnx)$/.test(name));
    if (other === undefined) return [];
    throw new UnsupportedError(
      `${folder.name}: weights are in ${other}, expected safetensors - convert the checkpoint`,
    );
  }
  if (file !== "model.safetensors" && candidates.length > 1) {
    throw new FormatError(
      `${folder.name}: has ${candidates.length} safetensors files, expected model.safetensors or ${INDEX_FILE} to say which belong together - download the index as well`,
    );
  }
  return openShard(folder, file, opened);
}

async function openShard(folder: Folder, file: string, opened: ByteSource[]): Promise<StoredTensor[]> {
  const source = await folder.open(file);
  opened.push(source);
  return [...(await readSafetensorsHeader(source)).tensors];
}

/** The index is the authority: exactly the tensors it lists belong to the model. */
async function openShards(
  folder: Folder,
  names: ReadonlySet<string>,
  opened: ByteSource[],
): Promise<StoredTensor[]> {
  const indexName = `${folder.name}/${INDEX_FILE}`;
  const index = await withFile(await folder.open(INDEX_FILE), (source) =>
    readJsonFile(source, MAX_INDEX_BYTES),
  );
  const places = Object.entries(checkSchema(indexName, indexSchema, index).weight_map);
  const shards = new Map<string, Map<string, StoredTensor>>();
  for (const file of new Set(places.map(([, file]) => file))) {
    if (!names.has(file)) {
      throw new FormatError(
        `${indexName}: names the file "${file.slice(0, 120)}", which is not in the folder - download it`,
      );
    }
    const tensors = await openShard(folder, file, opened);
    shards.set(file, new Map(tensors.map((tensor) => [tensor.info.name, tensor])));
  }
  return places.map(([name, file]) => {
    const tensor = shards.get(file)?.get(name);
    if (tensor !== undefined) return tensor;
    throw new FormatError(
      `${indexName}: tensor "${name}" is not in ${file} - index and files do not belong together`,
    );
  });
}
