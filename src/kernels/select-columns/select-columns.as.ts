// Choice of columns by magnitude. The result at `target` is a count and, from byte 16 on, ascending indices.
// Magnitudes are compared as integers: the bit pattern of |x| orders like |x|. The k-th largest is found by a
// search in the bit patterns with a vector count per probe: interpolating the counts, for the pattern goes
// like the logarithm, and bisecting every third time. It usually ends after nine probes of 2048 to 5632
// values, at one that exactly k of them reach. NaN counts as larger than everything, so that it shows in the
// result instead of vanishing.

// @ts-ignore: decorator
@inline export function magnitude(p: usize): i32 { return load<i32>(p) & 0x7fffffff; }

/** How many of x [width] have a magnitude pattern of at least `least`, which is above 0. */
export function countAtLeast(x: usize, width: i32, least: i32): i32 {
  const mask = i32x4.splat(0x7fffffff), below = i32x4.splat(least - 1);
  let counts = i32x4.splat(0), more = i32x4.splat(0);
  const whole = x + (<usize>(width & ~3) << 2), end = x + (<usize>width << 2);
  for (const pairs = x + (<usize>(width & ~7) << 2); x < pairs; x += 32) {
    counts = i32x4.sub(counts, i32x4.gt_s(v128.and(v128.load(x), mask), below));
    more = i32x4.sub(more, i32x4.gt_s(v128.and(v128.load(x, 16), mask), below));
  }
  counts = i32x4.add(counts, more);
  for (; x < whole; x += 16) counts = i32x4.sub(counts, i32x4.gt_s(v128.and(v128.load(x), mask), below));
  let count = i32x4.extract_lane(counts, 0) + i32x4.extract_lane(counts, 1) + i32x4.extract_lane(counts, 2) + i32x4.extract_lane(counts, 3);
  for (; x < end; x += 4) count += <i32>(magnitude(x) >= least);
  return count;
}

/** The largest magnitude pattern of x [width]. */
function largestPattern(x: usize, width: i32): u32 {
  const mask = i32x4.splat(0x7fffffff);
  let most = i32x4.splat(0);
  const whole = x + (<usize>(width & ~3) << 2), end = x + (<usize>width << 2);
  for (; x < whole; x += 16) most = i32x4.max_s(most, v128.and(v128.load(x), mask));
  let largest = max(max(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1)), max(i32x4.extract_lane(most, 2), i32x4.extract_lane(most, 3)));
  for (; x < end; x += 4) largest = max(largest, magnitude(x));
  return <u32>largest;
}

/**
 * A pattern between low and high, neither of them,
 * where about `count` are reached if the numbers in between grow evenly.
 */
function between(low: u32, high: u32, reachLow: i32, reachHigh: i32, count: i32): u32 {
  const guess = low + <u32>((<u64>(high - low) * <u64>(reachLow - count)) / <u64>(reachLow - reachHigh));
  return min(max(guess, low + 1), high - 1);
}

/** For the 16 sets of lanes of a vector, the bytes that move those lanes to the front. */
const PACKED: usize = memory.data<u8>([
  0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
  4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3,
  8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3,
  4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3,
  12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3,
  4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3,
  8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3,
  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
], 16);

/**
 * Writes the indices of all magnitudes of at least `least`; with `ties`,
 * of all above `tie` and the first `ties` that equal it.
 */
function collect(x: usize, width: i32, least: i32, tie: i32, ties: i32, target: usize): void {
  let p = target + 16;
  if (ties == 0) {
    // Read first: the indices may take the place of the values.
    const mask = i32x4.splat(0x7fffffff), below = i32x4.splat(least - 1), four = i32x4.splat(4);
    let i = 0, indices = i32x4(0, 1, 2, 3);
    for (; i < (width & ~3); i += 4) {
      const taken = i32x4.bitmask(i32x4.gt_s(v128.and(v128.load(x + (<usize>i << 2)), mask), below));
      v128.store(p, v128.swizzle(indices, v128.load(PACKED + (<usize>taken << 4))));
      p += <usize>popcnt(taken) << 2;
      indices = i32x4.add(indices, four);
    }
    for (; i < width; i++) {
      const taken = <usize>(magnitude(x + (<usize>i << 2)) >= least) << 2;
      store<i32>(p, i);
      p += taken;
    }
  } else {
    for (let i = 0; i < width; i++) {
      const bits = magnitude(x + (<usize>i << 2));
      const tied = <i32>(bits == tie && ties > 0);
      ties -= tied;
      store<i32>(p, i);
      p += <usize>(<i32>(bits > tie) | tied) << 2;
    }
  }
  store<i32>(target, <i32>((p - target - 16) >> 2));
}

/** The `count` largest |x|, ties by lower index; `target` holds width + 5 words. */
export function select_top_f32(x: usize, width: i32, count: i32, target: usize): void {
  if (count == 0) {
    store<i32>(target, 0);
    return;
  }
  // Invariant: at least `count` patterns reach `low`, fewer reach `high`.
  let low: u32 = 0, high: u32 = largestPattern(x, width) + 1, reachLow = width, reachHigh = 0;
  // Most of a layer's values lie within six powers of two of the largest.
  let middle = high > 6 << 23 ? high - (6 << 23) : high >>> 1;
  for (let probe = 1; count < width && high - low > 1; probe++) {
    const reached = countAtLeast(x, width, <i32>middle);
    if (reached == count) {
      collect(x, width, <i32>middle, 0, 0, target);
      return;
    }
    if (reached > count) low = middle, reachLow = reached;
    else high = middle, reachHigh = reached;
    if (high - low <= 1) break;
    middle = probe % 3 == 2 ? low + ((high - low) >>> 1) : between(low, high, reachLow, reachHigh, count);
  }
  if (count == width) {
    collect(x, width, 0, 0, 0, target);
    return;
  }
  // Fewer than `count` lie above the tie at `low`; none where it is a NaN of all ones,
  // which has no pattern above it.
  const above = high == 0x80000000 ? 0 : countAtLeast(x, width, <i32>high);
  collect(x, width, 0, <i32>low, count - above, target);
}

/** The `count` largest |x| of those in the choice `among`, ties by lower index. */
export function select_top_among_f32(x: usize, among: usize, count: i32, target: usize): void {
  const total = load<i32>(among), values = target + 16;
  if (total <= count) {
    memory.copy(target, among, 16 + (<usize>total << 2));
    return;
  }
  for (let i: usize = 0; i < <usize>total; i++) {
    store<i32>(values + (i << 2), load<i32>(x + (load<usize>(among + (i << 2), 16) << 2)));
  }
  // Places in `among` first, each written at or before the value it stands for; then what stands there.
  select_top_f32(values, total, count, target);
  for (let p = values, end = values + (<usize>load<i32>(target) << 2); p < end; p += 4) {
    store<i32>(p, load<i32>(among + (load<usize>(p) << 2), 16));
  }
}

/** All |x| >= threshold of those in the choice `among`. */
export function select_above_among_f32(x: usize, among: usize, threshold: f32, target: usize): void {
  const least = reinterpret<i32>(threshold);
  let p = target + 16;
  for (let at = among + 16, end = at + (<usize>load<i32>(among) << 2); at < end; at += 4) {
    const i = load<usize>(at);
    store<i32>(p, <i32>i);
    p += <usize>(magnitude(x + (i << 2)) >= least) << 2;
  }
  store<i32>(target, <i32>((p - target - 16) >> 2));
}

/** All |x| >= threshold, which is not negative. */
export function select_above_f32(x: usize, width: i32, threshold: f32, target: usize): void {
  collect(x, width, reinterpret<i32>(threshold), 0, 0, target);
}

/** Gates above 0 (threshold 0) or at least `threshold`, and NaN. */
export function select_gates_f32(x: usize, width: i32, threshold: f32, target: usize): void {
  let p = target + 16;
  if (threshold == 0) {
    for (let i = 0; i < width; i++) {
      store<i32>(p, i);
      p += <usize>!(load<f32>(x + (<usize>i << 2)) <= 0) << 2;
    }
  } else {
    for (let i = 0; i < width; i++) {
      store<i32>(p, i);
      p += <usize>!(load<f32>(x + (<usize>i << 2)) < threshold) << 2;
    }
  }
  store<i32>(target, <i32>((p - target - 16) >> 2));
}
