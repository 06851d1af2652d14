/**
 * The packed 6-bit scales and minimums of Q4_K and Q5_K: eight pairs in twelve bytes. Bytes 0 to 3 hold
 * scales 0 to 3 and bytes 4 to 7 minimums 0 to 3 in their low six bits; groups 4 to 7 take the nibbles of
 * bytes 8 to 11 and the top two bits of the former.
 * Source: ggml `get_scale_min_k4`.
 */

/** Scale of group 0 to 7, 0 to 63. */
export function groupScale(bytes: Uint8Array, offset: number, group: number): number {
  if (group < 4) return bytes[offset + group] & 63;
  return (bytes[offset + group + 4] & 15) | ((bytes[offset + group - 4] >>> 6) << 4);
}

/** Minimum of group 0 to 7, 0 to 63. */
export function groupMin(bytes: Uint8Array, offset: number, group: number): number {
  if (group < 4) return bytes[offset + group + 4] & 63;
  return (bytes[offset + group + 4] >>> 4) | ((bytes[offset + group] >>> 6) << 4);
}
