import { expect, it } from "vitest";
import { maskBytes, writeMasks } from "./attention-masks.ts";

const batch = (
  lengths: readonly number[],
  visible?: (row: number) => { start: number; end: number }[] | undefined,
) => {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const bounds = [0, ...lengths].map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const none = new Int32Array();
  return {
    tokens: new Int32Array(rows),
    positions: Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))),
    bounds: Int32Array.from(bounds),
    outputs: none,
    targets: none,
    ...(visible && { visible: Array.from({ length: rows }, (_, row) => visible(row)) }),
  };
};

it("leaves causal sequences without a mask", () => {
  const places = new Int32Array(2).fill(-1);
  writeMasks(batch([3, 2]), places, new Uint8Array(64), 1000);
  expect([...places]).toEqual([0, 0]);
});

it("packs eight queries into a byte per key", () => {
  const places = new Int32Array(2);
  const bytes = new Uint8Array(100).fill(0xff);
  // Row 3 begins the second sequence: its row 1 sees itself alone.
  writeMasks(
    batch([3, 2], (row) => (row === 4 ? [{ start: 1, end: 2 }] : undefined)),
    places,
    bytes,
    1000,
  );
  expect([...places]).toEqual([0, 1000]);
  expect([...bytes.subarray(0, 9)]).toEqual([0b01, 0b10, 0, 0, 0, 0, 0, 0, 0xff]);
});

it("fits its space whatever the lengths", () => {
  for (const lengths of [[1, 1, 1, 1], [9, 9], [17], [8, 1]]) {
    const used = lengths.reduce((sum, length) => sum + Math.ceil(length / 8) ** 2 * 8, 0);
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    expect(maskBytes(rows, Math.max(...lengths))).toBeGreaterThanOrEqual(used);
  }
});
