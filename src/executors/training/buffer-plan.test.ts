/**
 * Buffers that are alive together never overlap, and memory is reused: measured on a real model's program.
 */
import { expect, test } from "vitest";
import { loadProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { differentiate } from "../../program/differentiate.ts";
import type { Buffer } from "../../program/program.ts";
import type { Recompute } from "../../program/recomputation.ts";
import { touchedBy } from "../../program/training-dataflow.ts";
import { planBuffers } from "./buffer-plan.ts";

const bytesOf = (buffer: Buffer) => 64 * Math.ceil(buffer.width / 16);

async function plan(recompute: Recompute) {
  const checkpoint = createSyntheticCheckpoint("qwen3", syntheticShape("qwen3"), 3);
  const { program } = await loadProgram(await openSyntheticFolder(checkpoint));
  const training = differentiate(program, { recompute, l1: true });
  const pinned = [...training.losses, ...training.l1Sums];
  return { training, pinned, plan: planBuffers(training.ops, pinned, bytesOf) };
}

test.each<Recompute>(["none", "sublayers"])(
  "no two live buffers overlap, recompute %s",
  async (recompute) => {
    const { training, pinned, plan: placed } = await plan(recompute);
    const spans = new Map<string, { buffer: Buffer; first: number; last: number }>();
    training.ops.forEach((op, index) => {
      const { reads, writes } = touchedBy(op);
      for (const buffer of [...reads, ...writes]) {
        const first = spans.get(buffer.name)?.first ?? index;
        spans.set(buffer.name, { buffer, first, last: index });
      }
    });
    for (const buffer of pinned) spans.set(buffer.name, { buffer, first: 0, last: training.ops.length });
    const all = [...spans.values()].map(({ buffer, first, last }) => {
      const start = placed.offsets.get(buffer.name) ?? -1;
      return { name: buffer.name, first, last, start, end: start + bytesOf(buffer) };
    });
    for (const a of all) {
      expect(a.start, a.name).toBeGreaterThanOrEqual(0);
      expect(a.end).toBeLessThanOrEqual(placed.bytes);
      const clash = all.find(
        (b) => b !== a && b.first <= a.last && a.first <= b.last && b.start < a.end && a.start < b.end,
      );
      expect(clash, `${a.name} and ${clash?.name}`).toBeUndefined();
    }
    const total = all.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(placed.bytes).toBeLessThan(0.7 * total);
  },
);

test("recomputation keeps less", async () => {
  expect((await plan("sublayers")).plan.bytes).toBeLessThan(0.7 * (await plan("none")).plan.bytes);
});
