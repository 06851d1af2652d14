/**
 * What runs inside the workers: the engine worker is thread 0 and takes requests, helper threads wait inside
 * WebAssembly for steps. Free of any platform; the entry points hand in their message port.
 */
import { formatByName } from "../../quantization/registry.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import { PANEL_ROWS, Q4_COLUMN_UNIT_ROWS } from "../../kernels/layout.ts";
import type { WorkerPort } from "../../platform/types.ts";
import { type ColumnKernels, packColumns } from "./column-packer.ts";
import type {
  AttachMessage,
  ColumnsRequest,
  EngineReply,
  EngineRequest,
  PackRequest,
} from "./engine-protocol.ts";

type Pack = (source: number, rowBytes: number, rows: number, columns: number, target: number) => void;

interface Kernels extends ColumnKernels {
  readonly attach: (control: number, thread: number) => void;
  readonly step: () => number;
  readonly serve: () => void;
  readonly pack_32: Pack;
  readonly pack_16: Pack;
  readonly pack_q8: Pack;
  readonly pack_q4: Pack;
  readonly pack_t8: Pack;
  readonly pack_t4: Pack;
  readonly pack_t4_ordered: (...operands: [...Parameters<Pack>, order: number, places: number]) => void;
  readonly copy_rows: Pack;
}

/** Serves the executor from an engine worker: the first message attaches, the others are requests. */
export function hostEngine(port: WorkerPort): void {
  let engine: { kernels: Kernels; memory: WebAssembly.Memory } | undefined;
  const reply = (message: EngineReply) => port.postMessage(message);
  port.onMessage((message) => {
    const started = performance.now();
    try {
      // Messages come from engine-client.ts alone; engine-protocol.ts is the contract.
      if (engine === undefined) {
        engine = attach(message as AttachMessage);
        reply({ kind: "done", stopped: false, milliseconds: performance.now() - started });
        return;
      }
      const request = message as EngineRequest;
      let stopped = false;
      if (request.kind === "pack") packRows(engine.kernels, engine.memory, request);
      else if (request.kind === "columns") loadColumns(engine.kernels, engine.memory, request);
      else stopped = engine.kernels.step() !== 0;
      reply({ kind: "done", stopped, milliseconds: performance.now() - started });
    } catch (error) {
      reply({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
    }
  });
}

/**
 * Serves steps from a helper thread until the executor is disposed of;
 * the thread does not read further messages.
 */
export function hostThread(port: WorkerPort): void {
  port.onMessage((message) => {
    const { kernels } = attach(message as AttachMessage);
    kernels.serve();
  });
}

function attach({ module, memory, control, thread }: AttachMessage): {
  kernels: Kernels;
  memory: WebAssembly.Memory;
} {
  const instance = new WebAssembly.Instance(module, { env: { memory, abort: fail } });
  const kernels = instance.exports as unknown as Kernels; // the exports of kernels.as.ts
  kernels.attach(control, thread);
  return { kernels, memory };
}

function fail(): never {
  throw new Error("kernel aborted");
}

function packRows(kernels: Kernels, memory: WebAssembly.Memory, request: PackRequest): void {
  const { rows, columns, panelBytes, kernel, order } = request;
  const format = formatByName(request.format);
  const rowFormat = formatByName(request.rowFormat);
  const [sourceRowBytes, rowBytes] = [formatBytes(format, columns), formatBytes(rowFormat, columns)];
  const convert =
    format === rowFormat ? undefined : rowConverter(memory, PANEL_ROWS, columns, format, rowFormat);
  for (let row = 0; row < rows; row += PANEL_ROWS) {
    const count = Math.min(PANEL_ROWS, rows - row);
    const source = request.source + row * sourceRowBytes;
    const target = request.target + (row / PANEL_ROWS) * panelBytes;
    if (order !== undefined) {
      kernels.pack_t4_ordered(source, rowBytes, count, columns, target, order.address, order.places);
    } else if (convert === undefined) {
      kernels[kernel](source, rowBytes, count, columns, target);
    } else {
      convert(source, count, request.conversion);
      kernels[kernel](request.conversion, rowBytes, count, columns, target);
    }
  }
}

/**
 * Rows in the kernels' format lie where they were staged;
 * others are converted as many at a time as the largest unit has.
 */
function loadColumns(kernels: Kernels, memory: WebAssembly.Memory, request: ColumnsRequest): void {
  const { columns, rows, source } = request;
  const format = formatByName(request.format);
  const rowFormat = formatByName(request.rowFormat);
  if (format === rowFormat || request.phase === "finish") {
    packColumns(kernels, request);
    return;
  }
  const convert = rowConverter(memory, Q4_COLUMN_UNIT_ROWS, columns, format, rowFormat);
  for (let row = 0; row < rows; row += Q4_COLUMN_UNIT_ROWS) {
    const count = Math.min(Q4_COLUMN_UNIT_ROWS, rows - row);
    convert(source + row * formatBytes(format, columns), count, request.conversion);
    const firstRow = request.firstRow + row;
    packColumns(kernels, { ...request, source: request.conversion, rows: count, firstRow });
  }
}

/** Decodes up to `most` rows and encodes them in another format, elsewhere in the memory. */
function rowConverter(
  memory: WebAssembly.Memory,
  most: number,
  columns: number,
  from: WeightFormat,
  to: WeightFormat,
) {
  const { encode } = to;
  if (encode === undefined) throw new Error(`engine: weight storage ${to.name} has no encoder`);
  const panel = new Float32Array(most * columns);
  return (source: number, rows: number, target: number) => {
    const values = panel.subarray(0, rows * columns);
    from.decode(new Uint8Array(memory.buffer, source, formatBytes(from, values.length)), values);
    encode(values, new Uint8Array(memory.buffer, target, formatBytes(to, values.length)));
  };
}
