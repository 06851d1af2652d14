// Rearranges up to 8 rows in a file's own format into one panel (see layout.as.ts). Loading calls these once
// per panel; missing rows (the last panel of a matrix) become zeros.
import { BLOCK, PANEL_ROWS, Q4_BLOCK_BYTES, Q8_BLOCK_BYTES } from "./layout.as";

/** Q8_0 rows: per 32 columns an f16 scale and 32 bytes. */
export function pack_q8(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  const blocks = <usize>columns / BLOCK;
  memory.fill(target, 0, blocks * Q8_BLOCK_BYTES);
  for (let row: usize = 0; row < <usize>rows; row++) {
    let from = source + row * rowBytes;
    let to = target + row * 2;
    for (let b: usize = 0; b < blocks; b++) {
      store<u16>(to, load<u16>(from));
      for (let pair: usize = 0; pair < 16; pair++) store<u16>(to + 16 + pair * 16, load<u16>(from + 2 + pair * 2));
      from += 34;
      to += Q8_BLOCK_BYTES;
    }
  }
}

/** Q4_0 rows: per 32 columns an f16 scale and 16 bytes; byte j holds columns j (low) and j + 16 (high). */
export function pack_q4(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  const blocks = <usize>columns / BLOCK;
  for (let row: usize = 0; row < PANEL_ROWS; row++) {
    let from = source + row * rowBytes;
    let to = target + row * 4;
    for (let b: usize = 0; b < blocks; b++) {
      const scale = target + b * Q4_BLOCK_BYTES + row * 2;
      if (row >= <usize>rows) {
        store<u16>(scale, 0);
        for (let group: usize = 0; group < 4; group++) store<u32>(to + 16 + group * 32, 0x88888888);
      } else {
        store<u16>(scale, load<u16>(from));
        for (let half: usize = 0; half < 2; half++) {
          const left = load<u32>(from + 2 + half * 8);
          const right = load<u32>(from + 6 + half * 8);
          store<u32>(to + 16 + half * 32, (left & 0x0f0f0f0f) | ((right & 0x0f0f0f0f) << 4));
          store<u32>(to + 80 + half * 32, ((left >>> 4) & 0x0f0f0f0f) | (right & 0xf0f0f0f0));
        }
      }
      from += 18;
      to += Q4_BLOCK_BYTES;
    }
  }
}

// @ts-ignore: decorator
@inline function packFloats<W>(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  memory.fill(target, 0, <usize>columns * PANEL_ROWS * sizeof<W>());
  for (let row: usize = 0; row < <usize>rows; row++) {
    let from = source + row * rowBytes;
    let to = target + row * sizeof<W>();
    for (let column = 0; column < columns; column++) {
      store<W>(to, load<W>(from));
      from += sizeof<W>();
      to += PANEL_ROWS * sizeof<W>();
    }
  }
}

/** f32 rows. */
export function pack_32(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  packFloats<u32>(source, rowBytes, rows, columns, target);
}

/** f16 or bf16 rows. */
export function pack_16(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  packFloats<u16>(source, rowBytes, rows, columns, target);
}
