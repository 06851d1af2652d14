/**
 * Conversions between f32 and the two 16-bit float types: IEEE 754 binary16 (f16) and bfloat16 (the
 * upper half of an f32). Narrowing rounds to nearest, ties to even, like the F16C instructions and
 * ggml; widening is exact. Works on bit patterns throughout, so signed zeros, subnormals, infinities
 * and NaN payloads survive.
 * Invariant: hosts are little-endian, as every JavaScript engine skim runs on is.
 */

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** f32 bit pattern of every f16 bit pattern: 256 KiB bought for the fastest possible decode loop. */
const FLOAT16_TO_BITS = buildFloat16Table();
const FLOAT16_TO_FLOAT32 = new Float32Array(FLOAT16_TO_BITS.buffer);

function buildFloat16Table(): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) * 0x10000;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    let magnitude: number;
    if (exponent === 31) {
      magnitude = 0x7f800000 | (mantissa << 13);
    } else if (exponent !== 0) {
      magnitude = ((exponent + 112) << 23) | (mantissa << 13);
    } else if (mantissa === 0) {
      magnitude = 0;
    } else {
      // Subnormal: move the leading one to the implicit position.
      const shift = Math.clz32(mantissa) - 21;
      magnitude = ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
    }
    table[half] = sign + magnitude;
  }
  return table;
}

/** Value of one f16 bit pattern. */
export function float16ToFloat32(half: number): number {
  return FLOAT16_TO_FLOAT32[half];
}

/** Value of the little-endian f16 at `offset`. */
export function readFloat16(bytes: Uint8Array, offset: number): number {
  return FLOAT16_TO_FLOAT32[bytes[offset] | (bytes[offset + 1] << 8)];
}

/** Nearest f16 bit pattern of a number that is rounded to f32 first. */
export function float32ToFloat16(value: number): number {
  scratchFloat[0] = value;
  return narrowToFloat16(scratchBits[0]);
}

/** Stores the nearest f16 of `value`, little-endian, and returns its bit pattern. */
export function writeFloat16(value: number, bytes: Uint8Array, offset: number): number {
  const half = float32ToFloat16(value);
  bytes[offset] = half & 0xff;
  bytes[offset + 1] = half >>> 8;
  return half;
}

/** Widens n f16 (2n bytes, any alignment) into n f32. */
export function decodeFloat16(bytes: Uint8Array, values: Float32Array): void {
  const bits = bitsOf(values);
  for (let i = 0, o = 0; i < bits.length; i++, o += 2) {
    bits[i] = FLOAT16_TO_BITS[bytes[o] | (bytes[o + 1] << 8)];
  }
}

/** Narrows n f32 into n f16 (2n bytes, any alignment). */
export function encodeFloat16(values: Float32Array, bytes: Uint8Array): void {
  const bits = bitsOf(values);
  for (let i = 0, o = 0; i < bits.length; i++, o += 2) {
    const half = narrowToFloat16(bits[i]);
    bytes[o] = half & 0xff;
    bytes[o + 1] = half >>> 8;
  }
}

/** Widens n bf16 (2n bytes, any alignment) into n f32. */
export function decodeBfloat16(bytes: Uint8Array, values: Float32Array): void {
  const bits = bitsOf(values);
  for (let i = 0, o = 0; i < bits.length; i++, o += 2) {
    bits[i] = (bytes[o] << 16) | (bytes[o + 1] << 24);
  }
}

/** Narrows n f32 into n bf16 (2n bytes, any alignment). */
export function encodeBfloat16(values: Float32Array, bytes: Uint8Array): void {
  const bits = bitsOf(values);
  for (let i = 0, o = 0; i < bits.length; i++, o += 2) {
    const half = narrowToBfloat16(bits[i]);
    bytes[o] = half & 0xff;
    bytes[o + 1] = half >>> 8;
  }
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) {
    // Infinity, or a NaN made quiet with the top of its payload kept.
    return sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 | ((magnitude >>> 13) & 0x3ff) : 0);
  }
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent; a carry out of the mantissa correctly bumps the exponent.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // at most 2^-25, half of the smallest subnormal: ties to zero
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

function narrowToBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // keep NaN a (quiet) NaN
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
