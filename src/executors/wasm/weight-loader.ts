/**
 * Moves weights from the file into kernel memory, once: rows are read straight into staging (part of the shared memory)
 * and the engine worker packs them, one half of the staging being filled while the other is packed.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile, TensorInfo } from "../../formats/model-file.ts";
import { elementCount } from "../../formats/tensor-layout.ts";
import { PANEL_ROWS } from "../../kernels/layout.ts";
import { readDecodedRows, storedTensor } from "../../models/decoded-rows.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import type { ColumnStore } from "../column-store.ts";
import type { ExecutorOptions } from "../executor.ts";
import type { PlacedColumns } from "./column-layout.ts";
import { loadColumns } from "./column-loader.ts";
import type { EngineClient } from "./engine-client.ts";
import { type MemoryPlan, type PlacedWeight, STAGING_BYTES } from "./memory-plan.ts";
import type { WeightLayout } from "./weight-layout.ts";

export async function loadWeights(
  file: ModelFile,
  plan: MemoryPlan,
  memory: WebAssembly.Memory,
  engine: EngineClient,
  { onProgress, columnStore }: Pick<ExecutorOptions, "onProgress" | "columnStore">,
): Promise<void> {
  let loaded = 0;
  for (const { address, places } of plan.orders.values()) {
    const offsets = places.map((column) => column * Float32Array.BYTES_PER_ELEMENT);
    new Uint32Array(memory.buffer, address, places.length).set(offsets);
    loaded += offsets.byteLength;
  }
  for (const placed of new Set(plan.weights.values())) {
    const tensor = storedTensor(file, placed.weight);
    if (placed.layout === undefined) await loadVector(file, tensor, placed, memory);
    else await loadMatrix(file, tensor, placed, placed.layout, { plan, memory, engine });
    loaded += placed.bytes;
    onProgress?.(loaded, plan.weightBytes);
  }
  for (const placed of new Set(plan.columns.values())) {
    if (placed.site === undefined)
      await loadColumns(file, placed, { memory, engine, staging: plan.staging, conversion: plan.conversion });
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
  tensor: TensorInfo,
  { weight, address }: PlacedWeight,
  memory: WebAssembly.Memory,
): Promise<void> {
  // Vectors are rows of 1-D tensors, or ranges of them: the whole tensor is one row of the file.
  const values = new Float32Array(elementCount(tensor.shape));
  await readDecodedRows(file, tensor, 0, values.length / tensor.shape[tensor.shape.length - 1], values);
  const count = weight.rows * weight.columns;
  const first = weight.firstRow * weight.columns;
  new Float32Array(memory.buffer, address, count).set(values.subarray(first, first + count));
}

async function loadMatrix(
  file: ModelFile,
  tensor: TensorInfo,
  { weight, order, address }: PlacedWeight,
  layout: WeightLayout,
  { plan, memory, engine }: { plan: MemoryPlan; memory: WebAssembly.Memory; engine: EngineClient },
): Promise<void> {
  const { columns, rows, firstRow } = weight;
  const fileRowBytes = formatBytes(tensor.format, columns);
  const chunkRows = Math.floor(STAGING_BYTES / fileRowBytes / PANEL_ROWS) * PANEL_ROWS;
  if (chunkRows === 0) {
    throw new UnsupportedError(
      `${file.name}: tensor ${tensor.name}, expected rows of at most 1 MiB, got ${fileRowBytes} bytes`,
    );
  }
  let packing: Promise<unknown> = Promise.resolve();
  let half = 0;
  for (let row = 0; row < rows; row += chunkRows) {
    const count = Math.min(chunkRows, rows - row);
    const source = plan.staging + half * STAGING_BYTES;
    await file.readRows(
      tensor.name,
      firstRow + row,
      count,
      new Uint8Array(memory.buffer, source, count * fileRowBytes),
    );
    await packing; // the other half is free again
    packing = engine.request({
      kind: "pack",
      format: tensor.format.name,
      rowFormat: layout.rowFormat.name,
      kernel: layout.packKernel,
      source,
      conversion: plan.conversion,
      rows: count,
      columns,
      target: address + (row / PANEL_ROWS) * layout.panelBytes(columns),
      panelBytes: layout.panelBytes(columns),
      order: order === undefined ? undefined : { address: order.address, places: order.places.length },
    });
    half = 1 - half;
  }
  await packing;
}
