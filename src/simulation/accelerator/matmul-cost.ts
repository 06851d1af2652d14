/**
 * Cycles, traffic and vector work of one matmul on the array under one design. Output-stationary: each tile
 * of e x e outputs streams the whole reduction through the array (Tender, Lee et al., ISCA 2024, for
 * dataflow and shift):
 *   cycles = ceil(M/e) * ceil(N/e) * (K + stalls + 2 (e - 1) + e)      reduction, stalls, skew, drain
 * Codes enter at the design's width, outputs leave as 16-bit floats. Counts only;
 * simulate-accelerator.ts prices them.
 */
import type { Design } from "./designs.ts";
import { type ArrayHardware, arraySide, type OperandBits } from "./hardware.ts";
import type { Matmul } from "./layer-matmuls.ts";

/** What one or several matmuls cost; all counts add up. */
export interface WorkCounts {
  readonly cycles: number;
  readonly macs: Readonly<Record<OperandBits, number>>;
  readonly sramBytes: number;
  readonly dramBytes: number;
  readonly vectorOps: number;
  /** Of these, done while the array waits for them: they cost energy, their time is in `cycles`. */
  readonly stalledVectorOps: number;
}

/** Tender's row chunks: order, bias and folded bias are read once per chunk. */
const CHUNK_ROWS = 256;
const OUTPUT_BYTES = 2;
const ACCUMULATOR_BYTES = 4;
const OUTPUT_SCALE_BYTES = 4;
const GROUP_SCALE_BYTES = 2;

/** Cycles of one pass of the array over an [M, K] x [K, N] matmul. */
export function arrayCycles(
  { rows, inner, columns }: Pick<Matmul, "rows" | "inner" | "columns">,
  side: number,
  stallsPerTile: number,
): number {
  const tiles = Math.ceil(rows / side) * Math.ceil(columns / side);
  return tiles * (inner + stallsPerTile + 2 * (side - 1) + side);
}

/** One matmul (not `count` of them) under a design. */
export function countMatmul(matmul: Matmul, design: Design, hardware: ArrayHardware): WorkCounts {
  switch (design.kind) {
    case "tender":
      return addMetadata(
        countPass(matmul, design.bits, hardware, Math.min(design.groups, matmul.inner) - 1),
        matmul,
      );
    case "plain":
      return countPass(matmul, design.bits, hardware, 0);
    case "mixed":
      return countMixed(matmul, design, hardware);
    case "groupwise":
      return countGroupwise(matmul, design, hardware);
  }
}

/** A pass through the array and what every design does around it. */
function countPass(
  matmul: Matmul,
  bits: OperandBits,
  hardware: ArrayHardware,
  stallsPerTile: number,
): WorkCounts {
  const { rows, inner, columns } = matmul;
  const side = arraySide(hardware, bits);
  const inputBytes = (rows * inner * bits) / 8;
  const weightBytes = (inner * columns * bits) / 8;
  const outputs = rows * columns;
  const loaded = loadedBytes(matmul, bits, hardware, side);
  // every tile column streams all inputs, every tile row all weights;
  // accumulators pass the output buffer once
  const streamed = Math.ceil(columns / side) * inputBytes + Math.ceil(rows / side) * weightBytes;
  return {
    cycles: arrayCycles(matmul, side, stallsPerTile),
    macs: { 4: 0, 8: 0, 16: 0, [bits]: rows * inner * columns },
    sramBytes: loaded + streamed + 2 * ACCUMULATOR_BYTES * outputs,
    dramBytes: loaded + OUTPUT_BYTES * outputs + (matmul.weights ? OUTPUT_SCALE_BYTES * columns : 0),
    // one multiply quantizes an input, one dequantizes an output
    vectorOps: rows * inner + outputs,
    stalledVectorOps: 0,
  };
}

/**
 * Bytes of both operands that DRAM delivers. One operand stays in its scratchpad in blocks of whole
 * tiles, replaced piece by piece while their last tile runs; the other comes again for every block. The
 * cheaper order is taken.
 */
function loadedBytes(
  { rows, inner, columns }: Matmul,
  bits: OperandBits,
  { scratchpadBytes }: ArrayHardware,
  side: number,
): number {
  const lineBytes = (inner * bits) / 8;
  const tilesHeld = Math.floor(scratchpadBytes / (side * lineBytes));
  const inputBytes = rows * lineBytes;
  const weightBytes = columns * lineBytes;
  const passes = (lines: number) => Math.ceil(lines / (Math.max(tilesHeld, 1) * side));
  // When not even one tile's reduction fits, the kept operand
  // comes again for every tile of the other one, too.
  const again = (lines: number) => (tilesHeld > 0 ? 1 : Math.ceil(lines / side));
  return Math.min(
    again(columns) * inputBytes + passes(rows) * weightBytes,
    again(rows) * weightBytes + passes(columns) * inputBytes,
  );
}

/**
 * Tender's index buffer, channel bias and folded bias per row chunk; bias off the inputs,
 * folded bias on the outputs.
 */
function addMetadata(counts: WorkCounts, { rows, inner, columns, weights }: Matmul): WorkCounts {
  const chunkBytes = 2 * inner + 2 * inner + (weights ? 4 * columns : 0) + 4;
  return {
    ...counts,
    dramBytes: counts.dramBytes + Math.ceil(rows / CHUNK_ROWS) * chunkBytes,
    vectorOps: counts.vectorOps + rows * inner + rows * columns,
  };
}

function countMixed(
  matmul: Matmul,
  { bits, outlierShare }: Design & { kind: "mixed" },
  hardware: ArrayHardware,
): WorkCounts {
  const outliers = Math.ceil(outlierShare * matmul.inner);
  const body = countPass({ ...matmul, inner: matmul.inner - outliers }, bits, hardware, 0);
  if (outliers === 0) return body;
  // The outliers' pass has no scales and leaves its outputs in the vector unit,
  // where one addition merges them.
  const extra = countPass({ ...matmul, inner: outliers, weights: false }, 16, hardware, 0);
  const outputs = matmul.rows * matmul.columns;
  return addCounts(body, {
    ...extra,
    dramBytes: extra.dramBytes - OUTPUT_BYTES * outputs,
    vectorOps: outputs,
  });
}

function countGroupwise(
  matmul: Matmul,
  { bits, groupSize }: Design & { kind: "groupwise" },
  hardware: ArrayHardware,
): WorkCounts {
  const { rows, inner, columns } = matmul;
  const side = arraySide(hardware, bits);
  const extraGroups = Math.ceil(inner / groupSize) - 1;
  // e cycles shift a tile's accumulators out; the vector unit may need longer to take them
  const drain = Math.max(side, Math.ceil((side * side) / hardware.vectorLanes));
  const counts = countPass(matmul, bits, hardware, extraGroups * drain);
  const partials = extraGroups * rows * columns;
  return {
    ...counts,
    sramBytes: counts.sramBytes + 2 * ACCUMULATOR_BYTES * partials,
    // an output scale is counted once already; a group scale is smaller,
    // and there is one per group and column
    dramBytes:
      counts.dramBytes +
      (matmul.weights ? columns * (GROUP_SCALE_BYTES * (extraGroups + 1) - OUTPUT_SCALE_BYTES) : 0),
    vectorOps: counts.vectorOps + partials,
    stalledVectorOps: partials,
  };
}

export const NO_WORK: WorkCounts = {
  cycles: 0,
  macs: { 4: 0, 8: 0, 16: 0 },
  sramBytes: 0,
  dramBytes: 0,
  vectorOps: 0,
  stalledVectorOps: 0,
};

/** a + times * b */
export function addCounts(a: WorkCounts, b: WorkCounts, times = 1): WorkCounts {
  return {
    cycles: a.cycles + times * b.cycles,
    macs: {
      4: a.macs[4] + times * b.macs[4],
      8: a.macs[8] + times * b.macs[8],
      16: a.macs[16] + times * b.macs[16],
    },
    sramBytes: a.sramBytes + times * b.sramBytes,
    dramBytes: a.dramBytes + times * b.dramBytes,
    vectorOps: a.vectorOps + times * b.vectorOps,
    stalledVectorOps: a.stalledVectorOps + times * b.stalledVectorOps,
  };
}

/** Share of the array's 4-bit elements that multiply, averaged over all cycles. */
export function utilisation({ cycles, macs }: WorkCounts, { side }: ArrayHardware): number {
  if (cycles === 0) return 0;
  return (macs[4] + 4 * macs[8] + 16 * macs[16]) / (cycles * side * side);
}
