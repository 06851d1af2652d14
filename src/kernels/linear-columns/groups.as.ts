// Groups of chosen columns, which are read side by side: where they lie, and how short ones come near in one burst before the
// arithmetic on them starts. A load whose value nobody uses waits in no scheduler, so as many can be under way as the processor
// keeps track of, where those inside the arithmetic hold up one another (README.md, "Fourth round"). Neither compilers nor
// engines may drop them: a load can trap.
import { GROUP } from "./layout.as";

/**
 * Addresses of `count` chosen columns from the `first` on, to `columns` [count + GROUP]; behind them, as padding, the last one
 * again. selection, places and columnBytes as in linear_columns_q8_i16.
 */
export function placeColumns(
  weights: usize, columnBytes: usize, selection: usize, places: usize, first: i32, count: i32, columns: usize,
): void {
  for (let i = 0; i < count + GROUP; i++) {
    const at = <usize>(first + min(i, count - 1)) << 2;
    const place = places == 0 ? weights + load<usize>(selection + at, 16) * columnBytes : load<usize>(places + at);
    store<usize>(columns + (<usize>i << 2), place);
  }
}

/** Columns of at most this size are brought near: a group of longer ones would not stay in the first-level cache. */
const NEAR_BYTES: usize = 4096;
const LINE: usize = 64;

/** One load per cache line of the 10 columns whose addresses lie at `columns`; nothing where they are long. */
export function touchGroup(columns: usize, columnBytes: usize): void {
  if (columnBytes > NEAR_BYTES) return;
  let p0 = load<usize>(columns), p1 = load<usize>(columns, 4);
  let p2 = load<usize>(columns, 8), p3 = load<usize>(columns, 12);
  let p4 = load<usize>(columns, 16), p5 = load<usize>(columns, 20);
  let p6 = load<usize>(columns, 24), p7 = load<usize>(columns, 28);
  let p8 = load<usize>(columns, 32), p9 = load<usize>(columns, 36);
  const end = p0 + columnBytes;
  for (const lines = p0 + (columnBytes & ~(4 * LINE - 1)); p0 < lines; ) {
    load<i32>(p0), load<i32>(p1), load<i32>(p2), load<i32>(p3), load<i32>(p4);
    load<i32>(p5), load<i32>(p6), load<i32>(p7), load<i32>(p8), load<i32>(p9);
    load<i32>(p0, LINE), load<i32>(p1, LINE), load<i32>(p2, LINE), load<i32>(p3, LINE), load<i32>(p4, LINE);
    load<i32>(p5, LINE), load<i32>(p6, LINE), load<i32>(p7, LINE), load<i32>(p8, LINE), load<i32>(p9, LINE);
    load<i32>(p0, 2 * LINE), load<i32>(p1, 2 * LINE), load<i32>(p2, 2 * LINE), load<i32>(p3, 2 * LINE), load<i32>(p4, 2 * LINE);
    load<i32>(p5, 2 * LINE), load<i32>(p6, 2 * LINE), load<i32>(p7, 2 * LINE), load<i32>(p8, 2 * LINE), load<i32>(p9, 2 * LINE);
    load<i32>(p0, 3 * LINE), load<i32>(p1, 3 * LINE), load<i32>(p2, 3 * LINE), load<i32>(p3, 3 * LINE), load<i32>(p4, 3 * LINE);
    load<i32>(p5, 3 * LINE), load<i32>(p6, 3 * LINE), load<i32>(p7, 3 * LINE), load<i32>(p8, 3 * LINE), load<i32>(p9, 3 * LINE);
    p0 += 4 * LINE, p1 += 4 * LINE, p2 += 4 * LINE, p3 += 4 * LINE, p4 += 4 * LINE;
    p5 += 4 * LINE, p6 += 4 * LINE, p7 += 4 * LINE, p8 += 4 * LINE, p9 += 4 * LINE;
  }
  for (; p0 < end; p0 += LINE) {
    load<i32>(p0), load<i32>(p1), load<i32>(p2), load<i32>(p3), load<i32>(p4), load<i32>(p5), load<i32>(p6), load<i32>(p7), load<i32>(p8), load<i32>(p9);
    p1 += LINE, p2 += LINE, p3 += LINE, p4 += LINE, p5 += LINE, p6 += LINE, p7 += LINE, p8 += LINE, p9 += LINE;
  }
}
