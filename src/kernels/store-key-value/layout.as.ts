// How a slot's keys and values lie in the cache. Per key/value head, with `stored` = head width rounded up to 8, all positions of the
// head follow each other:
//   keys of floats     [position / 8][stored][8]   panels of 8 positions, read like weight panels (linear/layout.as.ts)
//   values of floats   [position][stored]
//   keys of bytes      [position / 8]([8 scales][stored / 2][8 positions][2 channels])
//   values of bytes    [position / 8]([8 scales][4 pairs of positions][stored][2 positions])
// Bytes are codes of -127..127 with one f32 scale per head and position, largest magnitude / 127; pairs are what a 16-bit dot
// product adds up. E is u16 (f16), f32 or i8 (codes).

/** Bytes of the scales of 8 positions. */
export const SCALE_BYTES: usize = 32;

/** Bytes that a position takes in a head's keys, and as many in its values. */
// @ts-ignore: decorator
@inline export function rowBytesOf<E>(stored: usize): usize {
  return sizeof<E>() == 1 ? stored + 4 : stored * sizeof<E>();
}
