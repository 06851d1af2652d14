/**
 * Prices a transformer layer's matmuls under a design: per matmul the longer of array and DRAM time
 * (double buffering overlaps them), plus the vector unit; the sum without overlap stands beside it.
 * Energy is counted events times constants that are inputs. Everything is simulated; nothing here is a
 * result of the Tender paper.
 */
import type { TransformerShape } from "../model-shapes.ts";
import { type Design, designName } from "./designs.ts";
import { type ArrayHardware, type EnergyCosts, macEnergy } from "./hardware.ts";
import { layerWork, type Matmul } from "./layer-matmuls.ts";
import { addCounts, countMatmul, NO_WORK, utilisation, type WorkCounts } from "./matmul-cost.ts";

/** Joules by where they go. */
export interface Energy {
  readonly mac: number;
  readonly sram: number;
  readonly dram: number;
  readonly vector: number;
  readonly total: number;
}

export interface SimulatedTime {
  /** Longer of array and DRAM, matmul by matmul, plus the vector unit. */
  readonly overlappedSeconds: number;
  /** Array, DRAM and vector unit one after the other. */
  readonly sequentialSeconds: number;
  readonly arraySeconds: number;
  readonly dramSeconds: number;
  readonly vectorSeconds: number;
}

export interface SimulatedWork {
  readonly counts: WorkCounts;
  readonly utilisation: number;
  readonly time: SimulatedTime;
  readonly energy: Energy;
}

/** One design at one number of rows; `layer` is one layer, `model` all of them. */
export interface AcceleratorRow {
  readonly model: string;
  readonly rows: number;
  /** Positions that attention's matmuls see; null when they are left out. */
  readonly attended: number | null;
  readonly design: Design;
  readonly name: string;
  readonly matmuls: readonly { readonly matmul: Matmul; readonly each: SimulatedWork }[];
  readonly layer: SimulatedWork;
  readonly modelSeconds: number;
  readonly modelJoules: number;
}

/** Simulates one layer of a model and multiplies by its layers. */
export function simulateAccelerator(
  shape: TransformerShape,
  rows: number,
  attended: number | undefined,
  design: Design,
  hardware: ArrayHardware,
  costs: EnergyCosts,
): AcceleratorRow {
  const work = layerWork(shape, rows, attended);
  const matmuls = work.matmuls.map((matmul) => {
    const counts = countMatmul(matmul, design, hardware);
    return { matmul, each: price(counts, matmulTime(counts, hardware), hardware, costs) };
  });
  const elementwise: WorkCounts = { ...NO_WORK, vectorOps: work.elementwiseOps };
  let counts = elementwise;
  let time = matmulTime(elementwise, hardware);
  for (const { matmul, each } of matmuls) {
    counts = addCounts(counts, each.counts, matmul.count);
    time = addTime(time, each.time, matmul.count);
  }
  const layer = price(counts, time, hardware, costs);
  return {
    model: shape.name,
    rows,
    attended: attended ?? null,
    design,
    name: designName(design),
    matmuls,
    layer,
    modelSeconds: shape.layers * time.overlappedSeconds,
    modelJoules: shape.layers * layer.energy.total,
  };
}

function matmulTime(counts: WorkCounts, hardware: ArrayHardware): SimulatedTime {
  const arraySeconds = counts.cycles / hardware.clockHz;
  const dramSeconds = counts.dramBytes / hardware.dramBytesPerSecond;
  const vectorCycles = (counts.vectorOps - counts.stalledVectorOps) / hardware.vectorLanes;
  const vectorSeconds = vectorCycles / hardware.clockHz;
  return {
    overlappedSeconds: Math.max(arraySeconds, dramSeconds) + vectorSeconds,
    sequentialSeconds: arraySeconds + dramSeconds + vectorSeconds,
    arraySeconds,
    dramSeconds,
    vectorSeconds,
  };
}

function addTime(a: SimulatedTime, b: SimulatedTime, times: number): SimulatedTime {
  return {
    overlappedSeconds: a.overlappedSeconds + times * b.overlappedSeconds,
    sequentialSeconds: a.sequentialSeconds + times * b.sequentialSeconds,
    arraySeconds: a.arraySeconds + times * b.arraySeconds,
    dramSeconds: a.dramSeconds + times * b.dramSeconds,
    vectorSeconds: a.vectorSeconds + times * b.vectorSeconds,
  };
}

function price(
  counts: WorkCounts,
  time: SimulatedTime,
  hardware: ArrayHardware,
  costs: EnergyCosts,
): SimulatedWork {
  const picojoule = 1e-12;
  const widths = [4, 8, 16] as const;
  const mac = picojoule * widths.reduce((sum, bits) => sum + counts.macs[bits] * macEnergy(costs, bits), 0);
  const sram = picojoule * counts.sramBytes * costs.sram;
  const dram = picojoule * counts.dramBytes * costs.dram;
  const vector = picojoule * counts.vectorOps * costs.vector;
  return {
    counts,
    utilisation: utilisation(counts, hardware),
    time,
    energy: { mac, sram, dram, vector, total: mac + sram + dram + vector },
  };
}
