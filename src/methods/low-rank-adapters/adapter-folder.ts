/**
 * Adapters as a folder of the PEFT library: adapter_config.json and adapter_model.safetensors with lora_A [r, columns] and
 * lora_B [rows, r] per module. Sources: huggingface/peft, "PEFT checkpoint format".
 * Invariant: every tensor of a folder that is read is one of the two, and each has its other.
 */
import { FormatError, UnsupportedError } from "../../errors.ts";
import { readJsonFile } from "../../formats/json-file.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { readSafetensorsHeader } from "../../formats/safetensors-reader.ts";
import { writeSafetensors } from "../../formats/safetensors-writer.ts";
import { TensorTable } from "../../formats/tensor-layout.ts";
import { tensorFromValues, writeCompletely } from "../../formats/tensor-source.ts";
import type { ByteSource, Folder, Platform } from "../../platform/types.ts";
import { withFile } from "../../platform/with-file.ts";
import type { Program } from "../../program/program.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import type { OpenSink } from "../../training/save-model.ts";
import {
  ADAPTER_CONFIG_FILE,
  type AdapterConfig,
  adapterConfigJson,
  checkAdapterConfig,
  factorOf,
} from "./adapter-config.ts";
import type { TensorReader } from "./merge.ts";
import { type Adapter, listAdapters } from "./rewrite.ts";

export const ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors";
const MAX_CONFIG_BYTES = 1 << 20;
/** What the library puts before the names of a causal language model's modules. */
const PREFIX = "base_model.model.";
const NAME = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/;

/** An adapter of one tensor of a model: W + factor B A. */
export interface StoredAdapter {
  /** The tensor's name in the model. */
  readonly tensor: string;
  readonly rank: number;
  /** A [rank, columns] and B [rows, rank] */
  readonly down: Float32Array;
  readonly up: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly factor: number;
}

/** Reads the adapters of the folder at a path; errors as `readAdapterFolder`. */
export async function openAdapterFolder(platform: Platform, path: string): Promise<StoredAdapter[]> {
  const opened = await platform.open(path);
  if ("file" in opened) {
    await opened.file.close();
    throw new FormatError(
      `${path}: is a file, expected a folder with ${ADAPTER_CONFIG_FILE} and ${ADAPTER_WEIGHTS_FILE} - pass the folder`,
    );
  }
  return readAdapterFolder(opened.folder);
}

/** Reads all adapters of a folder. FormatError for damage, UnsupportedError for what is no plain LoRA. */
export async function readAdapterFolder(folder: Folder): Promise<StoredAdapter[]> {
  await checkIsAdapterFolder(folder);
  const config = await withFile(await folder.open(ADAPTER_CONFIG_FILE), async (source) =>
    checkAdapterConfig(source.name, await readJsonFile(source, MAX_CONFIG_BYTES)),
  );
  return withFile(await folder.open(ADAPTER_WEIGHTS_FILE), (source) => readAdapters(source, config));
}

async function checkIsAdapterFolder(folder: Folder): Promise<void> {
  const names = await folder.list();
  if (names.includes("adapter_model.bin") && !names.includes(ADAPTER_WEIGHTS_FILE)) {
    throw new UnsupportedError(
      `${folder.name}: adapters are in adapter_model.bin, expected ${ADAPTER_WEIGHTS_FILE} - save them as safetensors`,
    );
  }
  const missing = [ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE].find((name) => !names.includes(name));
  if (missing === undefined) return;
  throw new FormatError(`${folder.name}: is no adapter folder, expected ${missing} in it - check the path`);
}

async function readAdapters(source: ByteSource, config: AdapterConfig): Promise<StoredAdapter[]> {
  const table = new TensorTable(source.name, (await readSafetensorsHeader(source)).tensors);
  const modules = new Map<string, Partial<Record<"A" | "B", string>>>();
  for (const name of table.infos.keys()) {
    const [, module, part] = NAME.exec(name) ?? [];
    if (part !== "A" && part !== "B") {
      throw new UnsupportedError(
        `${source.name}: tensor "${name.slice(0, 120)}" is neither lora_A nor lora_B of a linear, expected plain LoRA - merge the adapter with the library it comes from`,
      );
    }
    modules.set(module, { ...modules.get(module), [part]: name });
  }
  if (modules.size === 0)
    throw new FormatError(`${source.name}: holds no tensors, expected adapters - the file is damaged`);
  const adapters: StoredAdapter[] = [];
  for (const [module, { A, B }] of modules) {
    if (A === undefined || B === undefined) {
      throw new FormatError(
        `${source.name}: module ${module} has only one of lora_A and lora_B - the file is damaged`,
      );
    }
    const [down, up] = [await readMatrix(source.name, table, A), await readMatrix(source.name, table, B)];
    if (down.rows !== up.columns) {
      throw new FormatError(
        `${source.name}: module ${module} has A [${down.rows}, ${down.columns}] and B [${up.rows}, ${up.columns}], expected one rank - the file is damaged`,
      );
    }
    adapters.push({
      tensor: `${module}.weight`,
      rank: down.rows,
      down: down.values,
      up: up.values,
      rows: up.rows,
      columns: down.columns,
      factor: factorOf(source.name, config, module, down.rows),
    });
  }
  return adapters;
}

async function readMatrix(
  file: string,
  table: TensorTable,
  name: string,
): Promise<{ values: Float32Array; rows: number; columns: number }> {
  const info = table.infos.get(name);
  if (info === undefined || info.shape.length !== 2 || info.format.codes === true) {
    throw new FormatError(`${file}: tensor "${name}", expected a matrix of floats - the file is damaged`);
  }
  const [rows, columns] = info.shape;
  const bytes = new Uint8Array(info.bytes);
  await table.readRows(name, 0, rows, bytes);
  const values = new Float32Array(rows * columns);
  info.format.decode(bytes, values);
  return { values, rows, columns };
}

/** What a program's adapters are, by tensor of `file`; those of parts of one tensor become one of all their ranks. */
export function collectAdapters(program: Program, source: TensorReader, file: ModelFile): StoredAdapter[] {
  const adapters = listAdapters(program);
  return [...new Set(adapters.map(({ weight }) => weight.tensor))].map((tensor) => {
    const rows = file.tensors.get(tensor)?.shape[0];
    if (rows === undefined) throw new Error(`adapters: ${file.name} has no tensor ${tensor}`);
    const own = adapters.filter(({ weight }) => weight.tensor === tensor);
    return stack(tensor, rows, own, source);
  });
}

function stack(
  tensor: string,
  rows: number,
  adapters: readonly Adapter[],
  source: TensorReader,
): StoredAdapter {
  const [{ factor, weight }] = adapters;
  const rank = adapters.reduce((sum, { down }) => sum + down.rows, 0);
  const down = new Float32Array(rank * weight.columns);
  const up = new Float32Array(rows * rank);
  let first = 0;
  for (const adapter of adapters) {
    down.set(source.read(adapter.down.tensor, "weights"), first * weight.columns);
    const part = source.read(adapter.up.tensor, "weights"); // [part rows, part rank]
    const own = adapter.down.rows;
    for (let n = 0; n < adapter.weight.rows; n++) {
      up.set(part.subarray(n * own, (n + 1) * own), (adapter.weight.firstRow + n) * rank + first);
    }
    first += own;
  }
  return { tensor, rank, down, up, rows, columns: weight.columns, factor };
}

/** Writes adapters as such a folder; `baseModel` is where the weights they belong to come from. */
export async function writeAdapterFolder(
  adapters: readonly StoredAdapter[],
  baseModel: string,
  format: WeightFormat,
  open: OpenSink,
): Promise<void> {
  const modules = adapters.map(({ tensor, rank, factor }) => ({
    module: tensor.replace(/\.weight$/, ""),
    rank,
    factor,
  }));
  const tensors = adapters.flatMap(({ rank, rows, columns, down, up }, i) => [
    tensorFromValues(`${PREFIX}${modules[i].module}.lora_A.weight`, [rank, columns], format, down),
    tensorFromValues(`${PREFIX}${modules[i].module}.lora_B.weight`, [rows, rank], format, up),
  ]);
  const json = `${JSON.stringify(adapterConfigJson(baseModel, modules), undefined, 2)}\n`;
  const sink = await open(ADAPTER_CONFIG_FILE);
  await writeCompletely(sink, () => sink.write(new TextEncoder().encode(json)));
  await writeSafetensors(await open(ADAPTER_WEIGHTS_FILE), tensors, { format: "pt" });
}
