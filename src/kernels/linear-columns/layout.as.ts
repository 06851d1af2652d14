// How matrices that are read by columns lie in kernel memory: column after column, the parts of an op (gate and up) of
// a column next to each other, rows padded to units of 16 with zeros:
//   [column][part][rows]           f32, f16, bf16 or bytes
// so that one chosen index is one contiguous piece of memory, as long as it can be. Bytes have one f32 scale per part and
// column, in front of everything: [part][column]. Two codes of -127..127 are one i16, 256 * odd row + even row, so the byte
// of an odd row is one less than its code where the even row before it is negative.
// 4-bit columns are padded to units of 64 rows and hold the parts' shares in front of the parts' nibbles:
//   [column]([part][shares][part][rows / 2])    weight = (nibble - 8) * share * the column's f32 scale
// A share is a byte per block of 32 rows, as many as a multiple of 16. 16 bytes of nibbles are a block: the low ones rows
// 0 to 15, the high ones rows 16 to 31.
import * as layout from "../layout";

export const UNIT_ROWS: i32 = layout.COLUMN_UNIT_ROWS;
export const Q4_UNIT_ROWS: i32 = layout.Q4_COLUMN_UNIT_ROWS;
/** Columns whose rounded products are added up in 16 bits. */
export const CHUNK_COLUMNS: i32 = 50;
/** 4-bit columns whose products with bytes are added up in 16 bits. */
export const Q4_CHUNK_COLUMNS: i32 = 30;
/** Columns that are read side by side. */
export const GROUP: i32 = 10;
/** What a chunk's inputs add up to at most: 255/256 * (32700 + 50 / 2) + 50 / 2 < 2^15, with the roundings of both. */
export const MOST_SUM: f32 = 32700;

// Scratch of a thread: what a unit of each part's integers is worth, the parts' largest sums of a chunk and how far the
// present chunk's sums are shifted, addresses of a chunk's columns, its 16-bit inputs per part; then the sums of a chunk,
// i16 [parts][rows], and their totals, i32 [parts][rows].
export const SCRATCH_SHIFTS: usize = 16;
export const SCRATCH_COLUMNS: usize = 64;
export const SCRATCH_WORDS: usize = SCRATCH_COLUMNS + (<usize>CHUNK_COLUMNS + <usize>GROUP) * 4;
export const SCRATCH_SUMS: usize = layout.COLUMN_SCRATCH_BYTES;

/** Bytes of a part's shares in a 4-bit column. */
// @ts-ignore: decorator
@inline export function q4ShareBytes(rows: usize): usize { return ((rows >> 5) + 15) & ~15; }

/** By how many bits at most chunks of smaller inputs may be finer than the largest: all chunks together fit 32 bits. */
export function mostShift(total: i32, chunkColumns: i32): i32 {
  const chunks = (total + chunkColumns - 1) / chunkColumns;
  return chunks <= 256 ? 8 : max(0, clz(chunks - 1) - 16);
}
