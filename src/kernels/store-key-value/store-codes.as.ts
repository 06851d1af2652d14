// Writes one token's keys and values into a cache of bytes (layout.as.ts): per head a scale and codes, rounded to nearest even. A
// value that is no number makes the scale none, so that it shows in what attention returns.
import { largestMagnitude } from "../lanes.as";
import { SCALE_BYTES, rowBytesOf } from "./layout.as";
import { echoLines } from "./store-key-value.as";

/** The scale of x [width] to `scale` and its codes to `to`, pairs of them 16 bytes or one of them `stride` bytes apart. */
// @ts-ignore: decorator
@inline function storeCodes(x: usize, width: usize, scale: usize, to: usize, pairs: bool, stride: usize): void {
  const largest = largestMagnitude(x, <i32>width), inverse: f32 = largest == 0 ? 0 : 127 / largest;
  store<f32>(scale, largest / 127);
  for (let i: usize = 0; i < width; i++) {
    const code = <i8><i32>nearest<f32>(load<f32>(x + (i << 2)) * inverse);
    store<i8>(to + (pairs ? (i >> 1) * stride + (i & 1) : i * stride), code);
  }
}

/** keys and values point at the slot's first head; heads [first, last). Channels beyond the width stay what they are. */
export function store_key_value_q8(
  key: usize, value: usize, keys: usize, values: usize, first: i32, last: i32, headWidth: i32, capacity: i32, position: i32,
  echo: usize,
): void {
  const width = <usize>headWidth, stored = (width + 7) & ~7, at = <usize>position & 7;
  const headBytes = rowBytesOf<i8>(stored) * <usize>capacity, panelBytes = rowBytesOf<i8>(stored) << 3;
  for (let head = <usize>first; head < <usize>last; head++) {
    const panel = head * headBytes + <usize>(position >> 3) * panelBytes, row = (head * width) << 2;
    const k = keys + panel, v = values + panel;
    storeCodes(key + row, width, k + (at << 2), k + SCALE_BYTES + (at << 1), true, 16);
    storeCodes(value + row, width, v + (at << 2), v + SCALE_BYTES + (at >> 1) * (stored << 1) + (at & 1), false, 2);
    echoLines(k, panelBytes, echo);
    echoLines(v, panelBytes, echo);
  }
}
