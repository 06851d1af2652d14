// Rearranges up to 8 rows of integer codes into one panel;
// columns are filled up to a multiple of 32 with zeros.
//   t8   for each pair of columns 8 x 2 signed bytes, pairs in the order (0,2) (4,6) (1,3) (5,7) of each 8
//        columns
//   t4   for each 8 columns 8 x 4 bytes; byte j of a row holds column j low and column j + 4 high, offset by
//        8. Taken as two 16-bit lanes, shifts by 0, 4, 8 and 12 bring out the same pairs as above. Its
//        columns may stand in an order of their own, with padding between them.
import { PANEL_ROWS } from "../linear/layout.as";

// @ts-ignore: decorator
@inline function storedColumns(columns: i32): usize { return ((<usize>columns) + 31) & ~31; }

/** Rows of signed bytes. */
export function pack_t8(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  memory.fill(target, 0, storedColumns(columns) * PANEL_ROWS);
  for (let row: usize = 0; row < <usize>rows; row++) {
    const from = source + row * rowBytes, to = target + row * 2;
    for (let k: usize = 0; k < <usize>columns; k++) {
      // Column 4a + 2b + c of 8 is half b of pair 2c + a.
      const pair = (k & ~7) / 2 + (k & 1) * 2 + ((k >> 2) & 1);
      store<u8>(to + pair * 16 + ((k >> 1) & 1), load<u8>(from + k));
    }
  }
}

/** Rows of two's complement nibbles, the even column low; columns is even. */
export function pack_t4(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  memory.fill(target, 0x88, (storedColumns(columns) * PANEL_ROWS) >> 1);
  for (let row: usize = 0; row < <usize>rows; row++) {
    const from = source + row * rowBytes, to = target + row * 4;
    const whole = <usize>columns & ~7;
    for (let k: usize = 0; k < whole; k += 8) {
      const codes = load<u32>(from + (k >> 1)) ^ 0x88888888;
      const even = codes & 0x0f0f0f0f, odd = (codes >>> 4) & 0x0f0f0f0f;
      const low = (even & 0xff) | ((odd & 0xff) << 8) | ((even & 0xff00) << 8) | ((odd & 0xff00) << 16);
      const high = ((even >>> 16) & 0xff) | ((odd >>> 8) & 0xff00) | ((even >>> 8) & 0xff0000) | (odd & 0xff000000);
      store<u32>(to + k * 4, low | (high << 4));
    }
    for (let k = whole; k < <usize>columns; k++) {
      const nibble = ((load<u8>(from + (k >> 1)) >>> <u8>((k & 1) * 4)) & 15) ^ 8;
      const at = to + whole * 4 + (k & 3), shift = <u8>(k & 4);
      store<u8>(at, (load<u8>(at) & ~(15 << shift)) | (nibble << shift));
    }
  }
}

/**
 * The same with the columns of an order: u32 [places], four times the column,
 * or at least 4 * columns where there is none.
 */
export function pack_t4_ordered(
  source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize, order: usize, places: i32,
): void {
  memory.fill(target, 0x88, (<usize>places * PANEL_ROWS) >> 1);
  const end = <u32>columns << 2;
  for (let place: usize = 0; place < <usize>places; place++) {
    const offset = load<u32>(order + (place << 2));
    if (offset >= end) continue;
    const from = source + (offset >> 3), right = <u8>(offset & 4), left = <u8>(place & 4);
    const to = target + (place & ~7) * 4 + (place & 3), kept = <u8>(0xf0 >> left);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const nibble = ((load<u8>(from + row * rowBytes) >>> right) & 15) ^ 8;
      const at = to + row * 4;
      store<u8>(at, (load<u8>(at) & kept) | (nibble << left));
    }
  }
}
