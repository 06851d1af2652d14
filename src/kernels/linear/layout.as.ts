// How matrices lie in kernel memory. Every format uses panels of 8 output rows so that one 128-bit lane
// belongs to one row and no kernel ever adds across lanes; a panel is one contiguous stream. Inside a panel:
//   f32, f16, bf16   for each column: 8 values (one per row)
//   q8   for each block of 32 columns: 8 f16 scales, then for each pair of columns 8 x 2 signed bytes
//   q4   for each block of 32 columns: 8 f16 scales, then for each 8 columns 8 x 4 bytes; byte j of a row
//        holds column j in the low and column j + 4 in the high nibble, stored with an offset of 8 as in Q4_0
// Rows beyond the matrix are zero. The numbers come from ../layout.ts.
import * as layout from "../layout";

export const PANEL_ROWS: usize = layout.PANEL_ROWS;
export const BLOCK: usize = layout.BLOCK_COLUMNS;
export const Q8_BLOCK_BYTES: usize = layout.Q8_BLOCK_BYTES;
export const Q4_BLOCK_BYTES: usize = layout.Q4_BLOCK_BYTES;

/** Tokens that the batched kernels process together; activations are interleaved accordingly. */
export const TILE: usize = layout.TILE_TOKENS;

/** One q4 activation block: 32 signed bytes, the offset correction (two i16), the scale (f32). */
export const I8_BLOCK_BYTES: usize = layout.I8_BLOCK_BYTES;

/** Integer weights with a scale per row, see ../tender-linear/pack.as.ts. */
export const T8_BLOCK_BYTES: usize = layout.T8_BLOCK_BYTES;
export const T4_BLOCK_BYTES: usize = layout.T4_BLOCK_BYTES;
export const SPLIT_BLOCK_BYTES: usize = layout.SPLIT_BLOCK_BYTES;
export const TENDER_HEADER_BYTES: usize = layout.TENDER_HEADER_BYTES;
