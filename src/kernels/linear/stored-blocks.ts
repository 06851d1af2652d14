/**
 * Encoded blocks that no encoder would write, for the case table: every bit pattern that decodes to ordinary
 * numbers, and scales at the edges of f16.
 */
import { normalValues } from "../../models/synthetic/random.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";

/**
 * f16 bit patterns: smallest and largest subnormals, smallest normal, maxima, zeros, a plain negative one.
 */
export const EDGE_SCALES: readonly number[] = [
  0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x0000, 0x8000, 0xb555,
];

/** Decoded magnitudes of random blocks: ordinary, so that f16 scales neither vanish nor dominate. */
const LARGEST = 50;
const SMALLEST_MAXIMUM = 0.01;

/** `count` blocks of random bytes behind one scale (an f16 bit pattern); for formats that begin with it. */
export function scaledBlocks(format: WeightFormat, count: number, scale: number): Uint8Array {
  const bytes = randomBytes(`${format.name}/${scale}`, count * format.blockBytes);
  for (let block = 0; block < count; block++) {
    bytes[block * format.blockBytes] = scale & 0xff;
    bytes[block * format.blockBytes + 1] = scale >> 8;
  }
  return bytes;
}

/** `count` blocks of random bytes, each drawn again until its values are finite and of ordinary size. */
export function randomBlocks(format: WeightFormat, count: number): Uint8Array {
  const blocks = new Uint8Array(count * format.blockBytes);
  const values = new Float32Array(format.blockSize);
  for (let block = 0, draw = 0; block < count; draw++) {
    const bytes = randomBytes(`${format.name}/${draw}`, format.blockBytes);
    format.decode(bytes, values);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (!(largest < LARGEST && largest > SMALLEST_MAXIMUM)) continue;
    blocks.set(bytes, block * format.blockBytes);
    block++;
  }
  return blocks;
}

/** Bits of normal numbers' mantissas, which are as good as uniform. */
function randomBytes(stream: string, count: number): Uint8Array {
  const values = normalValues(1, stream, count, 0, 1);
  const bits = new Uint32Array(values.buffer);
  return Uint8Array.from(values, (_, i) => bits[i] >>> 7);
}
