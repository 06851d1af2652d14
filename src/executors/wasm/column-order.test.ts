/**
 * Orders of columns: whole blocks of one exponent in every chunk, largest first, or none where padding costs
 * too much; and what an executor says it reads includes the padding.
 */
import { describe, expect, test } from "vitest";
import { tenderLinearCases } from "../../kernels/tender-linear/cases.ts";
import { nodePlatform } from "../../platform/node.ts";
import { caseFile, caseLimits } from "../case-runner.ts";
import { orderColumns } from "./column-order.ts";
import { createWasmExecutor } from "./wasm-executor.ts";

/** Columns of `counts[i]` times `exponents[i]`, in turns while they last. */
function scatter(kinds: readonly (readonly [exponent: number, count: number])[]): number[] {
  const left = kinds.map(([, count]) => count);
  const columns: number[] = [];
  while (left.some((count) => count > 0)) {
    kinds.forEach(([exponent], kind) => {
      if (left[kind]-- > 0) columns.push(exponent);
    });
  }
  return columns;
}

describe("orderColumns", () => {
  test("fills every group up to whole blocks, largest exponents first", () => {
    const exponents = scatter([
      [0, 200],
      [7, 33],
      [3, 64],
    ]);
    const { places } = orderColumns(Float32Array.from(exponents), 1) ?? { places: new Uint32Array() };
    const kinds = Array.from(places, (column) => exponents[column] ?? "padding");
    expect(kinds).toEqual([
      ...new Array(33).fill(7),
      ...new Array(31).fill("padding"),
      ...new Array(64).fill(3),
      ...new Array(200).fill(0),
      ...new Array(24).fill("padding"),
    ]);
    const columns = [...places].filter((column) => column < exponents.length);
    expect(columns.sort((a, b) => a - b)).toEqual([...exponents.keys()]);
    expect([...places].filter((column) => column >= exponents.length)).toEqual(new Array(55).fill(297));
  });

  test("keeps columns together that share exponents in all chunks only", () => {
    const first = scatter([
      [5, 64],
      [1, 64],
    ]);
    const second = first.map((_, column) => (column < 64 ? 0 : 4));
    const both = Float32Array.from([...first, ...second]);
    const order = orderColumns(both, 2);
    expect(order?.chunks).toBe(2);
    const blocks = Array.from({ length: 4 }, (_, i) => [
      ...(order?.places.subarray(32 * i, 32 * i + 32) ?? []),
    ]);
    expect(
      blocks.map((block) => new Set(block.map((column) => `${first[column]} ${second[column]}`))),
    ).toEqual([new Set(["5 0"]), new Set(["5 4"]), new Set(["1 0"]), new Set(["1 4"])]);
  });

  test("is undefined where more than a quarter of the places would be padding on top", () => {
    const one = scatter([[2, 128]]);
    const few = (extra: number) =>
      orderColumns(Float32Array.from([...one.slice(extra), ...new Array<number>(extra).fill(0)]), 1);
    expect(few(1)?.places.length).toBe(160); // 5 blocks instead of 4
    const kinds = [...one.slice(2), 0, 1];
    expect(orderColumns(Float32Array.from(kinds), 1)).toBeUndefined(); // 6 instead of 4
    const chunks = Float32Array.from({ length: 3 * 128 }, (_, i) => (i * 2654435761) % 8);
    expect(orderColumns(chunks, 3)).toBeUndefined();
  });
});

test("bytes read per token count padding and the order", async () => {
  const given = tenderLinearCases().find(({ name }) => name.includes('"kinds":[[8,3,0]]'));
  const op = given?.program.ops[given.op];
  if (given === undefined || op?.kind !== "tenderLinear") throw new Error("no case with three groups");
  const executor = await createWasmExecutor(nodePlatform(), given.program, caseFile(given), {
    threads: 1,
    limits: caseLimits(given),
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  try {
    const [rows, columns, places] = [17, 350, 384];
    expect([op.codes.rows, op.codes.columns]).toEqual([rows, columns]);
    const table = 4 * columns; // one row of the f32 embedding
    const tables = 4 * 352 + 4 * places + 4 * 8; // exponents and the scale in panels, the order
    const codes = (3 * 8 * places) / 2 + 4 * 24; // three panels, and a scale per row of them
    expect(executor.readBytes(1).total).toBe(table + codes + tables);
  } finally {
    await executor.dispose();
  }
});
