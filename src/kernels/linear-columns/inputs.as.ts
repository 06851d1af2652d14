// The inputs of a chunk of chosen columns as 16-bit integers, in which 8-bit and 4-bit columns multiply alike.
import { GROUP } from "./layout.as";

/** words [count], i16 = x * scale * inverse of the columns at `indices`, rounded; then zeros up to a whole group. */
export function storeInputs(indices: usize, count: i32, x: usize, scales: usize, inverse: f32, words: usize): void {
  for (const end = words + (<usize>count << 1); words < end; words += 2) {
    const column = load<usize>(indices) << 2;
    const value = f32x4.nearest(f32x4.splat(load<f32>(x + column) * load<f32>(scales + column) * inverse));
    store<i16>(words, <i16>i32x4.extract_lane(i32x4.trunc_sat_f32x4_s(value), 0));
    indices += 4;
  }
  memory.fill(words, 0, <usize>GROUP << 1);
}
