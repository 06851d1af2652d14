// Float weights (f32, f16, bf16) times f32 activations. Each output is one chain of multiply-adds over the
// columns in order, the same chain in the row and the tile kernel, so a token's result does not depend on its
// neighbours. f16 weights are used times 2^-112 (lanes.as.ts), the activations times 2^60 and the sums times
// 2^52: all exact, and activations up to 2^67 do not overflow as they would when multiplied by 2^112 at once.
import { halfMask, madd, widenHalf } from "../lanes.as";
import { WEIGHT_F16, WEIGHT_F32 } from "../layout";
import { PANEL_ROWS, TILE } from "./layout.as";

const HALF_SUM_SCALE: f32 = 4503599627370496.0;

/** The sum with its factor undone, plus the bias. */
// @ts-ignore: decorator
@inline export function finish<W>(sum: v128, bias: v128): v128 {
  if (isFloat<W>() || isSigned<W>()) return f32x4.add(sum, bias);
  return f32x4.add(f32x4.mul(sum, f32x4.splat(HALF_SUM_SCALE)), bias);
}

/** Four weights as f32, f16 ones times 2^-112: W is f32, u16 (f16) or i16 (bf16). */
// @ts-ignore: decorator
@inline export function widen<W>(p: usize, offset: u32, mask: v128): v128 {
  if (isFloat<W>()) return v128.load(p + offset);
  if (isSigned<W>()) return i32x4.shl(v128.load16x4_u(p + offset), 16);
  return widenHalf(p, offset, mask);
}

// @ts-ignore: decorator
@inline function row<W>(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  const mask = halfMask();
  const step = PANEL_ROWS * sizeof<W>(), half = <u32>(4 * sizeof<W>());
  const panelBytes = <usize>columns * step;
  const pairs = (last - first) >> 1;
  const gap = <usize>pairs * panelBytes;
  const outGap = <usize>pairs << 5;
  let w = weights + <usize>first * panelBytes;
  out += <usize>first << 5;
  bias += <usize>first << 5;
  for (let pair = 0; pair < pairs; pair++) {
    let f0 = f32x4.splat(0), f1 = f32x4.splat(0), f2 = f32x4.splat(0), f3 = f32x4.splat(0);
    let xp = x;
    for (const end = w + panelBytes; w < end; w += step) {
      const xv = v128.load32_splat(xp);
      f0 = madd(widen<W>(w, 0, mask), xv, f0);
      f1 = madd(widen<W>(w, half, mask), xv, f1);
      f2 = madd(widen<W>(w + gap, 0, mask), xv, f2);
      f3 = madd(widen<W>(w + gap, half, mask), xv, f3);
      xp += 4;
    }
    v128.store(out, finish<W>(f0, v128.load(bias)));
    v128.store(out, finish<W>(f1, v128.load(bias, 16)), 16);
    v128.store(out + outGap, finish<W>(f2, v128.load(bias + outGap)));
    v128.store(out + outGap, finish<W>(f3, v128.load(bias + outGap, 16)), 16);
    out += 32;
    bias += 32;
  }
  if ((last - first) & 1) {
    w += gap;
    out += outGap;
    bias += outGap;
    let f0 = f32x4.splat(0), f1 = f32x4.splat(0);
    let xp = x;
    for (const end = w + panelBytes; w < end; w += step) {
      const xv = v128.load32_splat(xp);
      f0 = madd(widen<W>(w, 0, mask), xv, f0);
      f1 = madd(widen<W>(w, half, mask), xv, f1);
      xp += 4;
    }
    v128.store(out, finish<W>(f0, v128.load(bias)));
    v128.store(out, finish<W>(f1, v128.load(bias, 16)), 16);
  }
}

// @ts-ignore: decorator
@inline function tile<W>(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  const mask = halfMask();
  const step = PANEL_ROWS * sizeof<W>(), half = <u32>(4 * sizeof<W>());
  const panelBytes = <usize>columns * step;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const b0 = v128.load(bias + (panel << 5)), b1 = v128.load(bias + (panel << 5), 16);
    let to = out + (panel << 5);
    let xp = x;
    for (let t = 0; t < tiles; t++) {
      let f00 = f32x4.splat(0), f01 = f32x4.splat(0), f10 = f32x4.splat(0), f11 = f32x4.splat(0);
      let f20 = f32x4.splat(0), f21 = f32x4.splat(0), f30 = f32x4.splat(0), f31 = f32x4.splat(0);
      let w = weights + panel * panelBytes;
      for (const end = w + panelBytes; w < end; w += step) {
        const w0 = widen<W>(w, 0, mask), w1 = widen<W>(w, half, mask);
        let xv = v128.load32_splat(xp);
        f00 = madd(w0, xv, f00);
        f01 = madd(w1, xv, f01);
        xv = v128.load32_splat(xp, 4);
        f10 = madd(w0, xv, f10);
        f11 = madd(w1, xv, f11);
        xv = v128.load32_splat(xp, 8);
        f20 = madd(w0, xv, f20);
        f21 = madd(w1, xv, f21);
        xv = v128.load32_splat(xp, 12);
        f30 = madd(w0, xv, f30);
        f31 = madd(w1, xv, f31);
        xp += TILE * 4;
      }
      v128.store(to, finish<W>(f00, b0));
      v128.store(to, finish<W>(f01, b1), 16);
      v128.store(to + outStride, finish<W>(f10, b0));
      v128.store(to + outStride, finish<W>(f11, b1), 16);
      v128.store(to + 2 * outStride, finish<W>(f20, b0));
      v128.store(to + 2 * outStride, finish<W>(f21, b1), 16);
      v128.store(to + 3 * outStride, finish<W>(f30, b0));
      v128.store(to + 3 * outStride, finish<W>(f31, b1), 16);
      to += TILE * outStride;
    }
  }
}

function linear_f32_f32_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  row<f32>(weights, first, last, columns, x, out, bias);
}

function linear_f32_f32_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  tile<f32>(weights, first, last, columns, x, tiles, out, outStride, bias);
}

function linear_f16_f32_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  row<u16>(weights, first, last, columns, x, out, bias);
}

function linear_f16_f32_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  tile<u16>(weights, first, last, columns, x, tiles, out, outStride, bias);
}

function linear_bf16_f32_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  row<i16>(weights, first, last, columns, x, out, bias);
}

function linear_bf16_f32_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  tile<i16>(weights, first, last, columns, x, tiles, out, outStride, bias);
}

/** Panels [first, last) times one token; `format` is one of the float formats of weights. */
// @ts-ignore: decorator
@inline export function linearFloatRow(
  format: i32, weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize,
): void {
  if (format == WEIGHT_F32) linear_f32_f32_row(weights, first, last, columns, x, out, bias);
  else if (format == WEIGHT_F16) linear_f16_f32_row(weights, first, last, columns, x, out, bias);
  else linear_bf16_f32_row(weights, first, last, columns, x, out, bias);
}

/** The same for tiles of tokens. */
// @ts-ignore: decorator
@inline export function linearFloatTile(
  format: i32, weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  if (format == WEIGHT_F32) linear_f32_f32_tile(weights, first, last, columns, x, tiles, out, outStride, bias);
  else if (format == WEIGHT_F16) linear_f16_f32_tile(weights, first, last, columns, x, tiles, out, outStride, bias);
  else linear_bf16_f32_tile(weights, first, last, columns, x, tiles, out, outStride, bias);
}
