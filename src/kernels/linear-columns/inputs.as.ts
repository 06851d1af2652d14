// The inputs of chosen columns, with the columns' scales in them: as f32 for all that are chosen, then chunk by chunk as the
// 16-bit integers in which 8-bit and 4-bit columns multiply alike.
import { ROUNDING, roundToI16 } from "../lanes.as";
import { GROUP } from "./layout.as";

/** products [total] = x * scale of the columns at `indices`. */
export function scaleInputs(indices: usize, total: i32, x: usize, scales: usize, products: usize): void {
  for (const end = indices + (<usize>total << 2); indices < end; indices += 4) {
    const column = load<usize>(indices) << 2;
    store<f32>(products, load<f32>(x + column) * load<f32>(scales + column));
    products += 4;
  }
}

/** words [count], i16 = products * inverse, rounded; then zeros up to a whole group. Writes up to 7 words more, before them. */
function storeInputs(products: usize, count: i32, inverse: f32, words: usize): void {
  const factor = f32x4.splat(inverse), rounding = f32x4.splat(ROUNDING);
  const end = words + (<usize>count << 1);
  for (let to = words; to < end; to += 16) {
    v128.store(to, roundToI16(products, factor, rounding));
    products += 32;
  }
  memory.fill(end, 0, <usize>GROUP << 1);
}

/**
 * A chunk's products as i16 at `words`, zeros up to a whole group: what is `largest` of all chunks becomes `limit`. A chunk whose
 * own measure is smaller is finer by a power of two, whose exponent, at most `most`, is returned.
 */
export function quantizeChunk(products: usize, count: i32, own: f32, largest: f32, limit: f32, most: i32, words: usize): i32 {
  let shift = 0;
  for (let scaled = own * 2; shift < most && scaled <= largest; scaled *= 2) shift++;
  storeInputs(products, count, largest == 0 ? 0 : (limit / largest) * <f32>(1 << shift), words);
  return shift;
}
