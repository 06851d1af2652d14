// How matrices that are read by columns lie in kernel memory: column after column, the parts of an op (gate and up) of
// a column next to each other, rows padded to units of 16 with zeros:
//   [column][part][rows]           f32, f16, bf16 or signed bytes
// so that one chosen index is one contiguous piece of memory, as long as it can be. Signed bytes have one f32 scale per
// part and column, in front of everything: [part][column].
import * as layout from "../layout";

export const UNIT_ROWS: i32 = layout.COLUMN_UNIT_ROWS;
/** Columns whose products fit one i32 sum: 512 * 127 * 32767 < 2^31. */
export const CHUNK_COLUMNS: i32 = 512;
/** Columns that are read side by side. */
export const GROUP: i32 = 8;

// Scratch of a thread: what a unit of each part's integers is worth, addresses of a chunk's columns, its scaled inputs,
// its 16-bit inputs per part, the sums [part][rows] of a chunk, and, for integers, their f64 totals [part][rows].
export const SCRATCH_COLUMNS: usize = 64;
export const SCRATCH_VALUES: usize = SCRATCH_COLUMNS + (<usize>CHUNK_COLUMNS + <usize>GROUP) * 4;
export const SCRATCH_WORDS: usize = SCRATCH_VALUES + (<usize>CHUNK_COLUMNS + <usize>GROUP) * 4;
export const SCRATCH_SUMS: usize = layout.COLUMN_SCRATCH_BYTES;
