// Writes one token's keys and values into a cache of floats (layout.as.ts). The first byte of every cache line is repeated in the
// echo: that of the line at p at echo + p / 64 (attention/claim.as.ts).
// E is u16 (f16) or f32. f16 rounds to nearest even and saturates at 65504, so the cache never holds infinities.

// @ts-ignore: decorator
@inline function toHalf(value: f32): u16 {
  const bits = reinterpret<u32>(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return <u16>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return <u16>(sign | 0x7bff);
  if (magnitude < 0x38800000) return <u16>(sign | <u32>nearest<f32>(reinterpret<f32>(magnitude) * 16777216));
  return <u16>(sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13));
}

// @ts-ignore: decorator
@inline function put<E>(to: usize, value: f32): void {
  if (isFloat<E>()) store<f32>(to, value);
  else store<u16>(to, toHalf(value));
}

/** Repeats the first byte of every cache line that begins in [from, from + bytes). */
// @ts-ignore: decorator
@inline export function echoLines(from: usize, bytes: usize, echo: usize): void {
  for (let line = (from + 63) & ~63, end = from + bytes; line < end; line += 64) store<u8>(echo + (line >> 6), load<u8>(line));
}

// @ts-ignore: decorator
@inline function storeHeads<E>(
  key: usize, value: usize, keys: usize, values: usize, first: i32, last: i32, headWidth: i32, capacity: i32, position: i32,
  echo: usize,
): void {
  const stored = (<usize>headWidth + 7) & ~7;
  const headBytes = stored * <usize>capacity * sizeof<E>();
  for (let head = <usize>first; head < <usize>last; head++) {
    let k = key + ((head * <usize>headWidth) << 2), v = value + ((head * <usize>headWidth) << 2);
    let kTo = keys + head * headBytes + ((<usize>position >> 3) * stored * 8 + (<usize>position & 7)) * sizeof<E>();
    let vTo = values + head * headBytes + <usize>position * stored * sizeof<E>();
    for (let i: usize = 0; i < stored; i++) {
      const inside = i < <usize>headWidth;
      put<E>(kTo, inside ? load<f32>(k) : 0);
      put<E>(vTo, inside ? load<f32>(v) : 0);
      k += 4;
      v += 4;
      kTo += 8 * sizeof<E>();
      vTo += sizeof<E>();
    }
    const rowBytes = stored * sizeof<E>();
    if ((position & 7) == 0) echoLines(kTo - rowBytes * 8, rowBytes * 8, echo);
    echoLines(vTo - rowBytes, rowBytes, echo);
  }
}

/** keys and values point at the slot's first head; heads [first, last). */
export function store_key_value_f16(
  key: usize, value: usize, keys: usize, values: usize, first: i32, last: i32, headWidth: i32, capacity: i32, position: i32,
  echo: usize,
): void {
  storeHeads<u16>(key, value, keys, values, first, last, headWidth, capacity, position, echo);
}

export function store_key_value_f32(
  key: usize, value: usize, keys: usize, values: usize, first: i32, last: i32, headWidth: i32, capacity: i32, position: i32,
  echo: usize,
): void {
  storeHeads<f32>(key, value, keys, values, first, last, headWidth, capacity, position, echo);
}
