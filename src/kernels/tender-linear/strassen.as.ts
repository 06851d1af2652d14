// Batches of tenderLinear by Strassen's algorithm: two panels times two tiles in seven products of half the
// columns instead of eight. Integers make it lawful: sums wrap modulo 2^32 on the way, and as the true result
// fits 32 bits (the bound of the op) what comes out is the plain product's, bit for bit. Operands become sums
// of two, so shifted codes may reach 16383 and no more. With A the activations (tile by half of the columns)
// and B the weights (half by panel):
//   M1 = (A11 + A22)(B11 + B22)   M2 = (A21 + A22) B11   M3 = A11 (B12 - B22)   M4 = A22 (B21 - B11)
//   M5 = (A11 + A12) B22          M6 = (A21 - A11)(B11 + B12)                   M7 = (A12 - A22)(B21 + B22)
//   C11 = M1 + M4 - M5 + M7       C12 = M3 + M5          C21 = M2 + M4          C22 = M1 - M2 + M3 + M6
// Source: V. Strassen, "Gaussian elimination is not optimal", 1969. README.md has the figures.
import { TENDER_HEADER_BYTES, TILE } from "../linear/layout.as";
import { offsetOf, tender_linear_t8_t16_tile, tenderFinish } from "./linear-t8.as";

/** Eight sums of one product: four tokens of eight rows. */
const PRODUCT_BYTES: usize = 128;
const PRODUCTS: usize = 7;
/** Bytes of a right operand that stay in the first-level cache while all tiles pass over them. */
const PIECE: usize = 16384;

/**
 * The seven right operands as 16-bit lanes, one after the other; `half` are the packed bytes of half a panel.
 */
// @ts-ignore: decorator
@inline function combineWeights(b11: usize, b12: usize, half: usize, target: usize): void {
  const b21 = b11 + half, b22 = b12 + half, apart = half << 1;
  for (let k: usize = 0; k < half; k += 8) {
    const w11 = v128.load8x8_s(b11 + k), w21 = v128.load8x8_s(b21 + k);
    const w12 = v128.load8x8_s(b12 + k), w22 = v128.load8x8_s(b22 + k);
    let to = target + (k << 1);
    v128.store(to, i16x8.add(w11, w22));
    v128.store(to += apart, w11);
    v128.store(to += apart, i16x8.sub(w12, w22));
    v128.store(to += apart, i16x8.sub(w21, w11));
    v128.store(to += apart, w22);
    v128.store(to += apart, i16x8.add(w11, w12));
    v128.store(to += apart, i16x8.add(w21, w22));
  }
}

/** The five combined left operands of a pair of tiles, `apart` bytes from each other. */
function combineActivations(a11: usize, a21: usize, half: usize, target: usize, apart: usize): void {
  const a12 = a11 + half, a22 = a21 + half;
  for (let k: usize = 0; k < half; k += 16) {
    const x11 = v128.load(a11 + k), x12 = v128.load(a12 + k), x21 = v128.load(a21 + k), x22 = v128.load(a22 + k);
    let to = target + k;
    v128.store(to, i16x8.add(x11, x22));
    v128.store(to += apart, i16x8.add(x21, x22));
    v128.store(to += apart, i16x8.add(x11, x12));
    v128.store(to += apart, i16x8.sub(x21, x11));
    v128.store(to += apart, i16x8.sub(x12, x22));
  }
}

/**
 * Adds [w, end) times a piece of half a tile to one of the seven products; a call of its own costs a tenth.
 */
// @ts-ignore: decorator
@inline function multiplyHalf(w: usize, end: usize, x: usize, to: usize): void {
  let a00 = v128.load(to), a01 = v128.load(to, 16), a10 = v128.load(to, 32), a11 = v128.load(to, 48);
  let a20 = v128.load(to, 64), a21 = v128.load(to, 80), a30 = v128.load(to, 96), a31 = v128.load(to, 112);
  for (; w < end; w += 32) {
    const w0 = v128.load(w), w1 = v128.load(w, 16);
    let xv = v128.load32_splat(x);
    a00 = i32x4.add(a00, i32x4.dot_i16x8_s(w0, xv));
    a01 = i32x4.add(a01, i32x4.dot_i16x8_s(w1, xv));
    xv = v128.load32_splat(x, 4);
    a10 = i32x4.add(a10, i32x4.dot_i16x8_s(w0, xv));
    a11 = i32x4.add(a11, i32x4.dot_i16x8_s(w1, xv));
    xv = v128.load32_splat(x, 8);
    a20 = i32x4.add(a20, i32x4.dot_i16x8_s(w0, xv));
    a21 = i32x4.add(a21, i32x4.dot_i16x8_s(w1, xv));
    xv = v128.load32_splat(x, 12);
    a30 = i32x4.add(a30, i32x4.dot_i16x8_s(w0, xv));
    a31 = i32x4.add(a31, i32x4.dot_i16x8_s(w1, xv));
    x += 16;
  }
  v128.store(to, a00);
  v128.store(to, a01, 16);
  v128.store(to, a10, 32);
  v128.store(to, a11, 48);
  v128.store(to, a20, 64);
  v128.store(to, a21, 80);
  v128.store(to, a30, 96);
  v128.store(to, a31, 112);
}

/**
 * The four results of a pair of tiles and a pair of panels; `x` is the first tile's header,
 * `out` its first row.
 */
function finishPair(
  product: usize, apart: usize, x: usize, tileBytes: usize, out: usize, outStride: usize, scales: usize, offset: usize,
  offsetStride: usize,
): void {
  const y = x + tileBytes;
  for (let t: usize = 0; t < TILE; t++) {
    const s1 = v128.load32_splat(x + t * 4), s2 = v128.load32_splat(y + t * 4);
    const o1 = offsetOf(x, t, offset, offsetStride), o2 = offsetOf(y, t, offset, offsetStride);
    const c1 = out + t * outStride, c2 = c1 + TILE * outStride;
    for (let r: usize = 0; r < 32; r += 16) {
      const m = product + t * 32 + r;
      const m1 = v128.load(m), m2 = v128.load(m + apart), m3 = v128.load(m + 2 * apart), m4 = v128.load(m + 3 * apart);
      const m5 = v128.load(m + 4 * apart), m6 = v128.load(m + 5 * apart), m7 = v128.load(m + 6 * apart);
      tenderFinish(c1 + r, i32x4.add(i32x4.add(m1, m4), i32x4.sub(m7, m5)), s1, scales + r, o1 + r);
      tenderFinish(c1 + 32 + r, i32x4.add(m3, m5), s1, scales + 32 + r, o1 + 32 + r);
      tenderFinish(c2 + r, i32x4.add(m2, m4), s2, scales + r, o2 + r);
      tenderFinish(c2 + 32 + r, i32x4.add(i32x4.sub(m1, m2), i32x4.add(m3, m6)), s2, scales + 32 + r, o2 + 32 + r);
    }
  }
}

/**
 * What of `rows` tokens comes in pairs of full tiles: another tile's missing tokens may be too large to add.
 */
// @ts-ignore: decorator
@inline function fullPairs(rows: i32): usize {
  return <usize>rows / (2 * TILE);
}

/** Where the combined left operands lie in the scratch: behind right operands and products. */
// @ts-ignore: decorator
@inline function combinedIn(scratch: usize, columns: usize, pairs: usize): usize {
  return scratch + PRODUCTS * ((columns << 3) + pairs * PRODUCT_BYTES);
}

/**
 * Left operands of `rows` tokens into the thread's scratch, once for all of its panels: what
 * tender_linear_t8_t16_pairs finds there. The scratch holds right operands (56 * columns bytes), products
 * (896 * pairs) and these (20 * columns * pairs).
 */
export function tender_linear_t8_t16_combine(columns: i32, x: usize, rows: i32, scratch: usize): void {
  const pairs = fullPairs(rows), halfTile = <usize>columns << 2, tileBytes = TENDER_HEADER_BYTES + 2 * halfTile;
  const combined = combinedIn(scratch, columns, pairs), group = pairs * halfTile;
  for (let p: usize = 0; p < pairs; p++) {
    const a11 = x + TENDER_HEADER_BYTES + 2 * p * tileBytes;
    combineActivations(a11, a11 + tileBytes, halfTile, combined + p * halfTile, group);
  }
}

/**
 * out[t, 8 * first .. 8 * last) for an even number of panels and 2 * `pairs` tiles,
 * whose sums lie in the scratch.
 */
function multiplyPairs(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, pairs: usize, out: usize, outStride: usize, rowScales: usize,
  offset: usize, offsetStride: usize, scratch: usize,
): void {
  // A packed panel has as many bytes as half of a widened one,
  // a tile of 16-bit codes twice as many as half a tile.
  const panelBytes = <usize>columns << 3, halfTile = <usize>columns << 2;
  const tileBytes = TENDER_HEADER_BYTES + panelBytes, step: usize = 2 * tileBytes;
  const products = scratch + PRODUCTS * panelBytes, apart = pairs * PRODUCT_BYTES;
  const combined = combinedIn(scratch, columns, pairs), group = pairs * halfTile;
  const a11 = x + TENDER_HEADER_BYTES, a22 = a11 + tileBytes + halfTile;
  for (let panel = <usize>first; panel < <usize>last; panel += 2) {
    const w = weights + panel * panelBytes, at = panel << 5;
    combineWeights(w, w + panelBytes, panelBytes >> 1, scratch);
    memory.fill(products, 0, PRODUCTS * apart);
    for (let i: usize = 0; i < PRODUCTS; i++) {
      const right = scratch + i * panelBytes, next = i == 2 || i == 3 ? step : halfTile;
      const lefts = i < 2 ? combined + i * group : i == 2 ? a11 : i == 3 ? a22 : combined + (i - 2) * group;
      for (let from: usize = 0; from < panelBytes; from += PIECE) {
        const end = right + min(panelBytes, from + PIECE);
        let left = lefts + (from >> 1), to = products + i * apart;
        for (const stop = to + apart; to < stop; to += PRODUCT_BYTES) {
          multiplyHalf(right + from, end, left, to);
          left += next;
        }
      }
    }
    for (let p: usize = 0; p < pairs; p++) {
      finishPair(
        products + p * PRODUCT_BYTES, apart, x + p * step, tileBytes, out + 2 * p * TILE * outStride + at, outStride,
        rowScales + at, offset + at, offsetStride,
      );
    }
  }
}

/**
 * out[t, 8 * first .. 8 * last) for `rows` tokens. What does not come in pairs takes the plain way, and so
 * does a tile that is not full: what an earlier step left in its place may be too large to add.
 */
export function tender_linear_t8_t16_pairs(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, rows: i32, out: usize, outStride: usize, rowScales: usize,
  offset: usize, offsetStride: usize, scratch: usize,
): void {
  const pairs = fullPairs(rows), tiles = (rows + <i32>TILE - 1) / <i32>TILE, even = last - ((last - first) & 1);
  if (pairs > 0 && even > first) {
    multiplyPairs(weights, first, even, columns, x, pairs, out, outStride, rowScales, offset, offsetStride, scratch);
  }
  const done: usize = 2 * pairs, rest = tiles - <i32>done;
  if (rest > 0 && even > first) {
    const from = x + done * (TENDER_HEADER_BYTES + (<usize>columns << 3)), to = out + done * TILE * outStride;
    tender_linear_t8_t16_tile(weights, first, even, columns, from, rest, to, outStride, rowScales, offset, offsetStride, scratch);
  }
  if (even < last) {
    tender_linear_t8_t16_tile(weights, even, last, columns, x, tiles, out, outStride, rowScales, offset, offsetStride, scratch);
  }
}
