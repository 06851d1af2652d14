/**
 * Moves weights from the file into kernel memory, once:
 * rows are read straight into staging and packed from there by the engine worker.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import { elementCount } from "../../formats/tensor-layout.ts";
import { PANEL_ROWS } from "../../kernels/layout.ts";
import { readDecodedRows, storedTensor } from "../../models/decoded-rows.ts";
import type { ColumnStore } from "../column-store.ts";
import type { ExecutorOptions } from "../executor.ts";
import type { PlacedColumns } from "./column-layout.ts";
import { loadColumns } from "./column-loader.ts";
import type { EngineClient } from "./engine-client.ts";
import type { MemoryPlan } from "./memory-plan.ts";
import { type StagingTarget, stageRows } from "./staging.ts";
import type { WeightLayout } from "./weight-layout.ts";
import type { PlacedWeight } from "./weight-plan.ts";

export async function loadWeights(
  file: ModelFile,
  plan: MemoryPlan,
  memory: WebAssembly.Memory,
  engine: EngineClient,
  { onProgress, columnStore }: Pick<ExecutorOptions, "onProgress" | "columnStore">,
): Promise<void> {
  const { staging, conversion } = plan;
  const target: StagingTarget = { memory, engine, staging, conversion };
  let loaded = 0;
  for (const { address, places } of plan.orders.values()) {
    const offsets = places.map((column) => column * Float32Array.BYTES_PER_ELEMENT);
    new Uint32Array(memory.buffer, address, places.length).set(offsets);
    loaded += offsets.byteLength;
  }
  for (const placed of new Set(plan.weights.values())) {
    if (placed.layout === undefined) await loadVector(file, placed, memory);
    else await loadMatrix(file, placed, placed.layout, target);
    loaded += placed.bytes;
    onProgress?.(loaded, plan.weightBytes);
  }
  for (const placed of new Set(plan.columns.values())) {
    if (placed.site === undefined) await loadColumns(file, placed, target);
    else await loadScales(placed, columnStore, memory);
    loaded += placed.bytes;
    onProgress?.(loaded, plan.weightBytes);
  }
}

/** Of columns in a file, only the scales are loaded. */
async function loadScales(
  { weights, scales }: PlacedColumns,
  store: ColumnStore | undefined,
  memory: WebAssembly.Memory,
): Promise<void> {
  const stored = store?.find(weights.map(({ name }) => name));
  if (store === undefined || stored === undefined)
    throw new Error(`weight loader: ${weights[0].name} is not stored`);
  await store.readScales(stored, new Float32Array(memory.buffer, scales, weights.length * stored.columns));
}

async function loadVector(
  file: ModelFile,
  { weight, address }: PlacedWeight,
  memory: WebAssembly.Memory,
): Promise<void> {
  const tensor = storedTensor(file, weight);
  // Vectors are rows of 1-D tensors, or ranges of them: the whole tensor is one row of the file.
  const values = new Float32Array(elementCount(tensor.shape));
  await readDecodedRows(file, tensor, 0, values.length / tensor.shape[tensor.shape.length - 1], values);
  const count = weight.rows * weight.columns;
  const first = weight.firstRow * weight.columns;
  new Float32Array(memory.buffer, address, count).set(values.subarray(first, first + count));
}

async function loadMatrix(
  file: ModelFile,
  { weight, order, address }: PlacedWeight,
  layout: WeightLayout,
  target: StagingTarget,
): Promise<void> {
  const { columns } = weight;
  const panelBytes = layout.panelBytes(columns);
  await stageRows(file, weight, PANEL_ROWS, target, ({ firstRow, ...staged }) => ({
    kind: "pack",
    ...staged,
    rowFormat: layout.rowFormat.name,
    kernel: layout.packKernel,
    columns,
    target: address + (firstRow / PANEL_ROWS) * panelBytes,
    panelBytes,
    order: order === undefined ? undefined : { address: order.address, places: order.places.length },
  }));
}
