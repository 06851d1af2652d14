/**
 * Streams rows from a file through the staging area, which is part of the shared memory: one half is filled
 * while the engine works on the other.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { storedTensor } from "../../models/decoded-rows.ts";
import type { Weight } from "../../program/program.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import type { EngineClient } from "./engine-client.ts";
import type { EngineRequest } from "./engine-protocol.ts";

/** Bytes of each of the two halves: rows in their file format on the way to the pack kernels. */
export const STAGING_BYTES = 8 << 20;

export interface StagingTarget {
  readonly memory: WebAssembly.Memory;
  readonly engine: Pick<EngineClient, "request">;
  /** Address of the two halves. */
  readonly staging: number;
  /** Address of a panel, or of a unit of rows of a matrix read by columns, in another format. */
  readonly conversion: number;
}

/** Rows that lie in staging. */
export interface StagedRows {
  /** Name of the format they are in. */
  readonly format: string;
  readonly source: number;
  readonly conversion: number;
  readonly rows: number;
  /** Place of the first one in the weight, a multiple of a unit. */
  readonly firstRow: number;
}

/**
 * Hands all rows of a weight to the engine, in order and in whole units but for the last. UnsupportedError
 * for rows too long to stage, FormatError and ResourceError as `readRows` does.
 */
export async function stageRows(
  file: ModelFile,
  weight: Weight,
  unitRows: number,
  { memory, engine, staging, conversion }: StagingTarget,
  requestOf: (staged: StagedRows) => EngineRequest,
): Promise<void> {
  const { columns, rows, firstRow } = weight;
  const { name, format } = storedTensor(file, weight);
  const rowBytes = formatBytes(format, columns);
  const chunkRows = Math.floor(STAGING_BYTES / rowBytes / unitRows) * unitRows;
  if (chunkRows === 0) {
    throw new UnsupportedError(
      `${file.name}: tensor ${name}, expected rows of at most ${STAGING_BYTES / unitRows} bytes, got ${rowBytes} - use a ` +
        "model of narrower layers",
    );
  }
  let working: Promise<unknown> = Promise.resolve();
  let half = 0;
  for (let row = 0; row < rows; row += chunkRows) {
    const count = Math.min(chunkRows, rows - row);
    const source = staging + half * STAGING_BYTES;
    const target = new Uint8Array(memory.buffer, source, count * rowBytes);
    // Awaited together: the engine may fail while the file is still being read.
    await Promise.all([file.readRows(name, firstRow + row, count, target), working]);
    working = engine.request(
      requestOf({ format: format.name, source, conversion, rows: count, firstRow: row }),
    );
    half = 1 - half;
  }
  await working;
}
