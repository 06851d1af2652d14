/** Rows on their way through staging: all of them in order, halves in turns, and failures as one error. */
import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Weight } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import type { EngineRequest } from "./engine-protocol.ts";
import { type StagedRows, STAGING_BYTES, stageRows } from "./staging.ts";

/** A row is a quarter of what one half holds. */
const COLUMNS = STAGING_BYTES / 16;
const MEMORY = new WebAssembly.Memory({ initial: 257, maximum: 257 });

type Rows = Pick<ModelFile, "readRows">;

function stage(rows: number, unitRows: number, file: Rows, request: () => Promise<never>, columns = COLUMNS) {
  const weight: Weight = { name: "w", tensor: "w", rows, columns, firstRow: 3 };
  const info = { name: "w", shape: [rows + 3, columns], format: f32, bytes: 4 * rows * columns };
  const staged: StagedRows[] = [];
  const done = stageRows(
    { ...file, name: "file", tensors: new Map([["w", info]]) } as unknown as ModelFile,
    weight,
    unitRows,
    { memory: MEMORY, engine: { request }, staging: 0, conversion: 0 },
    (rows) => {
      staged.push(rows);
      return { kind: "step" } satisfies EngineRequest;
    },
  );
  return { done, staged };
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

describe("stageRows", () => {
  test("reads whole units in order, one half after the other", async () => {
    const read: [number, number][] = [];
    const readRows = async (_: string, first: number, count: number) => {
      read.push([first, count]);
    };
    const { done, staged } = stage(9, 2, { readRows }, () => Promise.resolve(undefined as never));
    await done;
    expect(read).toEqual([
      [3, 4],
      [7, 4],
      [11, 1],
    ]);
    expect(staged.map(({ firstRow, rows, source }) => [firstRow, rows, source])).toEqual([
      [0, 4, 0],
      [4, 4, STAGING_BYTES],
      [8, 1, 0],
    ]);
  });

  test("an engine that fails while the file is being read is one error", async () => {
    const readRows = () => pause(20);
    const { done } = stage(9, 2, { readRows }, () => Promise.reject(new Error("engine: died")));
    await expect(done).rejects.toThrow("engine: died");
    // A rejection that nobody handles would be reported by now.
    await pause(30);
  });

  test("rows too long for a unit are refused with the size that is possible", async () => {
    const { done } = stage(9, 8, { readRows: () => pause(0) }, () => Promise.reject(new Error("never")));
    await expect(done).rejects.toThrow(UnsupportedError);
    await expect(done).rejects.toThrow(`expected rows of at most ${STAGING_BYTES / 8} bytes`);
  });
});
