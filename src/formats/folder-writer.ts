/**
 * Writes any ModelFile as a Hugging Face folder: config.json with the `skim` section, tokenizer files, one
 * model.safetensors. A checkpoint from GGUF keeps its tensor names and brings its metadata along as
 * metadata.gguf, a GGUF file without tensors, from which huggingface-folder.ts reads it back.
 * Invariant: rows pass through in pieces; a tensor whose format
 * safetensors cannot hold is stored as F16 (vectors F32).
 */
import { UnsupportedError } from "../errors.ts";
import type { ByteSink } from "../platform/types.ts";
import { f16 } from "../quantization/f16.ts";
import { f32 } from "../quantization/f32.ts";
import { formatBytes } from "../quantization/weight-format.ts";
import { typedMetadata } from "./gguf-metadata.ts";
import { writeGguf } from "./gguf-writer.ts";
import { GGUF_METADATA_FILE } from "./huggingface-folder.ts";
import { writeTextFile } from "./json-file.ts";
import type { Json, JsonObject, ModelFile, TensorInfo } from "./model-file.ts";
import { storedAs } from "./safetensors-dtypes.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { elementCount } from "./tensor-layout.ts";
import type { TensorSource } from "./tensor-source.ts";

/** Values per piece of a tensor. */
const PIECE_VALUES = 1 << 20;

export interface FolderWriteOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** `open` makes the sink of a file name; the caller makes the folder appear and vanish as a whole. */
export async function writeModelFolder(
  file: ModelFile,
  open: (fileName: string) => Promise<ByteSink>,
  options: FolderWriteOptions = {},
): Promise<void> {
  for (const [name, content] of await textFiles(file)) await writeTextFile(await open(name), content);
  if (file.container === "gguf") {
    await writeGguf(await open(GGUF_METADATA_FILE), typedMetadata(file.metadata), []);
  }
  const infos = [...file.tensors.values()];
  const sources = infos.map((info) => sourceOf(file, info));
  const total = sources.reduce((sum, { format, shape }) => sum + formatBytes(format, elementCount(shape)), 0);
  let done = 0;
  const counted = sources.map(
    (source): TensorSource => ({
      ...source,
      async *data() {
        for await (const piece of source.data()) {
          options.signal?.throwIfAborted();
          yield piece;
          done += piece.length;
          options.onProgress?.(done, total);
        }
      },
    }),
  );
  await writeSafetensors(await open("model.safetensors"), counted, { format: "pt" });
}

async function textFiles(file: ModelFile): Promise<[name: string, content: string][]> {
  const skim: Record<string, Json> = file.recipes === undefined ? {} : { skim: file.recipes };
  const json = (value: JsonObject) => `${JSON.stringify(value, undefined, 2)}\n`;
  if (file.container === "gguf") return [["config.json", json({ model_type: file.architecture, ...skim })]];
  const tokenizer = await file.readTokenizer();
  const files: [string, string | undefined][] = [
    ["config.json", json({ ...file.config, ...skim })],
    ["generation_config.json", file.generationConfig && json(file.generationConfig)],
    ["tokenizer.json", tokenizer && json(tokenizer)],
    ["tokenizer_config.json", file.tokenizerConfig && json(file.tokenizerConfig)],
    ["chat_template.jinja", file.chatTemplate],
  ];
  return files.filter((entry): entry is [string, string] => entry[1] !== undefined);
}

function sourceOf(file: ModelFile, info: TensorInfo): TensorSource {
  const { name, shape } = info;
  const kept = storedAs(info.format, shape) !== undefined;
  const format = kept ? info.format : shape.length > 1 ? f16 : f32;
  const columns = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / columns;
  const pieceRows = Math.max(1, Math.floor(PIECE_VALUES / columns));
  return {
    name,
    shape,
    format,
    async *data() {
      for (let first = 0; first < rows; first += pieceRows) {
        const count = Math.min(pieceRows, rows - first);
        const bytes = new Uint8Array(formatBytes(info.format, count * columns));
        await file.readRows(name, first, count, bytes);
        yield kept ? bytes : converted(info, format, bytes, count * columns);
      }
    },
  };
}

function converted(info: TensorInfo, format: typeof f16, bytes: Uint8Array, count: number): Uint8Array {
  if (format.encode === undefined)
    throw new UnsupportedError(
      `tensor "${info.name}": cannot be stored - convert it to another format first`,
    );
  const values = new Float32Array(count);
  info.format.decode(bytes, values);
  const result = new Uint8Array(formatBytes(format, count));
  format.encode(values, result);
  return result;
}
