/**
 * The order in which columns of 4-bit codes are stored so that a block of 32 belongs to one channel group:
 * codes then stay signed bytes, and the block's power of two is applied to its integer sum. Source: Tender
 * (arXiv 2406.12930), which keeps channels in group order and shifts the accumulator between groups.
 * Invariant: columns of a block have one exponent in every row chunk, so one order serves all positions;
 * where that costs more padding than MOST_PADDING allows there is no order, and columns stay where they are.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import { BLOCK_COLUMNS } from "../../kernels/layout.ts";
import { readWeightRows } from "../../models/decoded-rows.ts";
import type { Program, StaticQuantizer, TenderLinearOp } from "../../program/program.ts";

/**
 * Places per stored column at most. Decoding gains 1.7 times from byte products and batches 1.3 times
 * (kernels/tender-linear/README.md): with a quarter more places neither loses.
 */
const MOST_PADDING = 1.25;

export interface ColumnOrder {
  /**
   * The column at each place; the number of columns, which is none, at padding. A multiple of 32,
   * blocks begin with a column.
   */
  readonly places: Uint32Array;
  /** Row chunks whose exponents it follows. */
  readonly chunks: number;
}

/**
 * Where an order lies in kernel memory: for each place the
 * offset of its column in a row of f32, u32 [places].
 */
export interface PlacedOrder extends ColumnOrder {
  readonly address: number;
}

/** By the name of the exponents that columns are ordered by. */
export type ColumnOrders = ReadonlyMap<string, ColumnOrder>;

/** Orders of all inputs of 4-bit codes that profit: in channel groups whose shifted codes exceed a byte. */
export async function readColumnOrders(program: Program, file: ModelFile): Promise<ColumnOrders> {
  const orders = new Map<string, ColumnOrder>();
  for (const quantizer of groupedQuantizers(program)) {
    const { exponents, chunks } = quantizer;
    const order = orderColumns(await readWeightRows(file, exponents, 0, 1), chunks);
    if (order !== undefined) orders.set(exponents.name, order);
  }
  return orders;
}

/** The order in which an op's codes are stored, undefined for that of the file. */
export function columnOrderOf<Order extends ColumnOrder>(
  { codeBits, quantizer }: TenderLinearOp,
  orders: ReadonlyMap<string, Order>,
): Order | undefined {
  return codeBits === 4 && quantizer.kind === "static" ? orders.get(quantizer.exponents.name) : undefined;
}

/** For codes whose columns are ordered, the name of the order. */
export function orderNames(program: Program, orders: ColumnOrders): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const op of program.ops) {
    if (op.kind !== "tenderLinear" || op.quantizer.kind !== "static") continue;
    if (columnOrderOf(op, orders) !== undefined) names.set(op.codes.name, op.quantizer.exponents.name);
  }
  return names;
}

function groupedQuantizers(program: Program): readonly StaticQuantizer[] {
  const found = new Map<string, StaticQuantizer>();
  const readers = new Map<string, Set<string>>();
  for (const op of program.ops) {
    if (op.kind !== "tenderLinear" || op.codeBits !== 4) continue;
    const { quantizer, codes } = op;
    const key = quantizer.kind === "static" ? quantizer.exponents.name : "";
    readers.set(codes.name, (readers.get(codes.name) ?? new Set()).add(key));
    if (quantizer.kind === "static" && exceedsByte(quantizer)) found.set(key, quantizer);
  }
  // Codes that are read under two quantizers can be in the order of neither.
  for (const keys of readers.values()) if (keys.size > 1) for (const key of keys) found.delete(key);
  return [...found.values()];
}

function exceedsByte({ limit, maxExponent }: StaticQuantizer): boolean {
  return limit <= 127 && limit * 2 ** maxExponent > 127;
}

/**
 * Columns by their exponents [chunks * columns] in all chunks, largest first, each kind filled up to whole
 * blocks; undefined where that takes too many places.
 */
export function orderColumns(exponents: Float32Array, chunks: number): ColumnOrder | undefined {
  const columns = exponents.length / chunks;
  const most = Math.ceil(columns / BLOCK_COLUMNS) * MOST_PADDING * BLOCK_COLUMNS;
  const kinds = new Map<string, number[]>();
  for (let column = 0; column < columns; column++) {
    const kind = Array.from({ length: chunks }, (_, chunk) => exponents[chunk * columns + column]).join();
    const members = kinds.get(kind);
    if (members === undefined) kinds.set(kind, [column]);
    else members.push(column);
    if (kinds.size * BLOCK_COLUMNS > most) return undefined;
  }
  const groups = [...kinds.values()].sort(([a], [b]) => exponents[b] - exponents[a] || a - b);
  const places = groups.flatMap((members) => [
    ...members,
    ...new Array<number>(-members.length & (BLOCK_COLUMNS - 1)).fill(columns),
  ]);
  return places.length > most ? undefined : { places: Uint32Array.from(places), chunks };
}
