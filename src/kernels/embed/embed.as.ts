// Reads one row of an embedding table that is stored as weight panels (linear/layout.as.ts), so that a tied
// table is stored once. Strided, but one row per token.
import { BLOCK, PANEL_ROWS, Q4_BLOCK_BYTES, Q8_BLOCK_BYTES } from "../linear/layout.as";
import { halfMask, HALF_SCALE } from "../lanes.as";

// @ts-ignore: decorator
@inline function halfAt(p: usize): f32 {
  return f32x4.extract_lane(v128.and(i32x4.shl(i32x4.splat(<i32>load<i16>(p)), 13), halfMask()), 0) * HALF_SCALE;
}

// @ts-ignore: decorator
@inline function embedFloats<W>(table: usize, row: usize, columns: i32, factor: f32, out: usize): void {
  let from = table + ((row >> 3) * <usize>columns * PANEL_ROWS + (row & 7)) * sizeof<W>();
  for (let i = 0; i < columns; i++) {
    let value: f32;
    if (isFloat<W>()) value = load<f32>(from);
    else if (isSigned<W>()) value = reinterpret<f32>(<u32>load<u16>(from) << 16);
    else value = halfAt(from);
    store<f32>(out, value * factor);
    from += PANEL_ROWS * sizeof<W>();
    out += 4;
  }
}

export function embed_f32(table: usize, row: usize, columns: i32, factor: f32, out: usize): void {
  embedFloats<f32>(table, row, columns, factor, out);
}

export function embed_f16(table: usize, row: usize, columns: i32, factor: f32, out: usize): void {
  embedFloats<u16>(table, row, columns, factor, out);
}

export function embed_bf16(table: usize, row: usize, columns: i32, factor: f32, out: usize): void {
  embedFloats<i16>(table, row, columns, factor, out);
}

export function embed_q8(table: usize, row: usize, columns: i32, factor: f32, out: usize): void {
  const blocks = <usize>columns / BLOCK, inPanel = row & 7;
  let panel = table + (row >> 3) * blocks * Q8_BLOCK_BYTES;
  for (let b: usize = 0; b < blocks; b++) {
    const scale = halfAt(panel + inPanel * 2) * factor;
    for (let pair: usize = 0; pair < 16; pair++) {
      const from = panel + 16 + pair * 16 + inPanel * 2;
      store<f32>(out, <f32>load<i8>(from) * scale);
      store<f32>(out, <f32>load<i8>(from, 1) * scale, 4);
      out += 8;
    }
    panel += Q8_BLOCK_BYTES;
  }
}

export function embed_q4(table: usize, row: usize, columns: i32, factor: f32, out: usize): void {
  const blocks = <usize>columns / BLOCK, inPanel = row & 7;
  let panel = table + (row >> 3) * blocks * Q4_BLOCK_BYTES;
  for (let b: usize = 0; b < blocks; b++) {
    const scale = halfAt(panel + inPanel * 2) * factor;
    for (let group: usize = 0; group < 4; group++) {
      const from = panel + 16 + group * 32 + inPanel * 4;
      for (let j: usize = 0; j < 4; j++) {
        const byte = <i32>load<u8>(from + j);
        store<f32>(out + j * 4, <f32>((byte & 15) - 8) * scale);
        store<f32>(out + 16 + j * 4, <f32>((byte >> 4) - 8) * scale);
      }
      out += 32;
    }
    panel += Q4_BLOCK_BYTES;
  }
}
