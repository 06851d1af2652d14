// Rearranges rows of a file into columns (layout.as.ts). Loading calls these for units of 16 rows; `target` is the place of
// the unit's first row in the run of column 0, columns follow every `stride` bytes.
import { Q4_UNIT_ROWS, UNIT_ROWS } from "./layout.as";

/** Raises largest [columns] to the magnitudes in f32 rows. */
export function column_maxima(source: usize, rows: i32, columns: i32, largest: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let k: usize = 0; k < <usize>columns << 2; k += 4) {
      store<f32>(largest + k, max(load<f32>(largest + k), abs(load<f32>(source + k))));
    }
    source += <usize>columns << 2;
  }
}

// @ts-ignore: decorator
@inline function code(source: usize, row: i32, rows: i32, rowBytes: usize, inverse: f32): i32 {
  return row < rows ? <i32>nearest(load<f32>(source + <usize>row * rowBytes) * inverse) : 0;
}

/** Up to 16 f32 rows to codes, two in 16 bits: value / scale with scale = largest / 127. Missing rows become zero. */
export function pack_columns_q8(source: usize, rows: i32, columns: i32, largest: usize, stride: usize, target: usize): void {
  const rowBytes = <usize>columns << 2;
  for (let k: usize = 0; k < rowBytes; k += 4) {
    const most = load<f32>(largest + k), inverse: f32 = most == 0 ? 0 : 127 / most;
    for (let row = 0; row < UNIT_ROWS; row += 2) {
      const pair = (code(source + k, row + 1, rows, rowBytes, inverse) << 8) + code(source + k, row, rows, rowBytes, inverse);
      store<i16>(target + <usize>row, <i16>pair);
    }
    target += stride;
  }
}

/** Largest magnitudes to scales, once all rows are packed; a scale is the largest divided by `limit`. */
export function finish_column_scales(largest: usize, columns: i32, limit: f32): void {
  for (let k: usize = 0; k < <usize>columns << 2; k += 4) store<f32>(largest + k, load<f32>(largest + k) / limit);
}

/** One block of up to 32 rows of a column to a share and 16 bytes of nibbles. */
function packBlock(source: usize, rows: i32, rowBytes: usize, most: f32, share: usize, target: usize): void {
  let largest: f32 = 0;
  for (let row = 0; row < rows; row++) largest = max(largest, abs(load<f32>(source + <usize>row * rowBytes)));
  // Rounded up, so that no weight leaves -7 to 7.
  const part = most == 0 ? 0 : <i32>min(<f32>255, ceil((largest / most) * 255));
  store<u8>(share, <u8>part);
  const inverse: f32 = part == 0 ? 0 : (255 * 7) / (<f32>part * most);
  for (let row = 0; row < 16; row++) {
    const low = code(source, row, rows, rowBytes, inverse), high = code(source, row + 16, rows, rowBytes, inverse);
    store<u8>(target + <usize>row, <u8>((low + 8) | ((high + 8) << 4)));
  }
}

/** Up to 64 f32 rows to two blocks; `shares` and `target` are their places in column 0. */
export function pack_columns_q4(source: usize, rows: i32, columns: i32, largest: usize, stride: usize, shares: usize, target: usize): void {
  const rowBytes = <usize>columns << 2;
  for (let k: usize = 0; k < rowBytes; k += 4) {
    const most = load<f32>(largest + k);
    for (let block = 0; block < Q4_UNIT_ROWS >> 5; block++) {
      const first = block << 5;
      packBlock(
        source + <usize>first * rowBytes + k, min(32, max(0, rows - first)), rowBytes, most, shares + <usize>block,
        target + (<usize>block << 4),
      );
    }
    shares += stride;
    target += stride;
  }
}

// @ts-ignore: decorator
@inline function copyUnit<W>(source: usize, rows: i32, columns: i32, stride: usize, target: usize): void {
  const rowBytes = <usize>columns * sizeof<W>();
  for (let k: usize = 0; k < rowBytes; k += sizeof<W>()) {
    for (let row = 0; row < UNIT_ROWS; row++) {
      store<W>(target + <usize>row * sizeof<W>(), row < rows ? load<W>(source + <usize>row * rowBytes + k) : <W>0);
    }
    target += stride;
  }
}

/** Up to 16 f32 rows. */
export function pack_columns_32(source: usize, rows: i32, columns: i32, stride: usize, target: usize): void {
  copyUnit<u32>(source, rows, columns, stride, target);
}

/** Up to 16 f16 or bf16 rows. */
export function pack_columns_16(source: usize, rows: i32, columns: i32, stride: usize, target: usize): void {
  copyUnit<u16>(source, rows, columns, stride, target);
}
