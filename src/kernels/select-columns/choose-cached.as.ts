// DIP-CA (arXiv 2412.01380, Eq. 10 and Algorithm 1): a choice of columns that prefers what a cache holds, and
// the cache's update by it. The oracle is methods/dynamic-input-pruning/cached-columns.ts, whose choices,
// evictions and draws this repeats exactly. Every thread keeps a cache of its own, and they stay equal
// because all see the same input: nobody waits. A cache: CHOICE_* words, then i32 worth [width] and i32
// resident [width] (0 or 1).
import {
  CHOICE_HEADER_BYTES, CHOICE_CHOSEN, CHOICE_HITS, CHOICE_POSITION, CHOICE_RANDOM, CHOICE_RESIDENTS, CHOICE_TOKEN,
  POLICY_LFU,
} from "../layout";
import { countAtLeast, magnitude } from "./select-columns.as";

const SEED: u32 = 1;

// @ts-ignore: decorator
@inline function at(list: usize, index: i32): usize { return list + (<usize>index << 2); }

/** weighted = |x| where resident, gamma |x| elsewhere, rounded once. */
function weigh(x: usize, resident: usize, width: i32, gamma: f64, weighted: usize): void {
  for (let i = 0; i < width; i++) {
    const score = reinterpret<f32>(magnitude(at(x, i)));
    store<f32>(at(weighted, i), load<i32>(at(resident, i)) != 0 ? score : <f32>(gamma * <f64>score));
  }
}

/** Columns weighted exactly `tie` whose |x| reaches `least`. */
function countTied(weighted: usize, x: usize, width: i32, tie: i32, least: u32): i32 {
  let count = 0;
  for (let i = 0; i < width; i++) {
    count += <i32>(load<i32>(at(weighted, i)) == tie) & <i32>(<u32>magnitude(at(x, i)) >= least);
  }
  return count;
}

/**
 * Writes columns weighted at least `least`, and `left` of those weighted exactly `tie`:
 * larger |x| first, then lower index.
 */
function collectWeighted(weighted: usize, x: usize, width: i32, least: u32, tie: i32, left: i32, target: usize): void {
  let low: u32 = 0, high: u32 = 0x80000000;
  while (left > 0 && high - low > 1) {
    const middle = low + ((high - low) >>> 1);
    if (countTied(weighted, x, width, tie, middle) >= left) low = middle;
    else high = middle;
  }
  left -= countTied(weighted, x, width, tie, high);
  let p = target + 16;
  for (let i = 0; i < width; i++) {
    const weight = load<i32>(at(weighted, i)), score = <u32>magnitude(at(x, i));
    let taken = <i32>(<u32>weight >= least);
    if (weight == tie) {
      if (score >= high) taken = 1;
      else if (score == low && left > 0) {
        taken = 1;
        left--;
      }
    }
    store<i32>(p, i);
    p += <usize>taken << 2;
  }
  store<i32>(target, <i32>((p - target - 16) >> 2));
}

/**
 * The `count` columns of largest weight, ties by |x| and then by lower index; `target` holds width + 5 words.
 */
function selectWeighted(weighted: usize, x: usize, width: i32, count: i32, target: usize): void {
  // Invariant: at least `count` weights reach `low`, fewer reach `high`.
  let low: u32 = 0, high: u32 = 0x80000000;
  if (count == 0) {
    store<i32>(target, 0);
    return;
  }
  while (high - low > 1) {
    const middle = low + ((high - low) >>> 1);
    if (countAtLeast(weighted, width, <i32>middle) >= count) low = middle;
    else high = middle;
  }
  const above = high == 0x80000000 ? 0 : countAtLeast(weighted, width, <i32>high);
  collectWeighted(weighted, x, width, high, <i32>low, count - above, target);
}

/** A new sequence begins: nothing is resident. */
function clear(cache: usize, width: i32): void {
  store<i32>(cache + CHOICE_TOKEN, 0);
  store<i32>(cache + CHOICE_RESIDENTS, 0);
  store<u32>(cache + CHOICE_RANDOM, SEED);
  memory.fill(cache + CHOICE_HEADER_BYTES, 0, <usize>width << 3);
}

/** Evicts `count` of the `candidates` [candidates] of lowest worth, ties lower index first. */
function evict(cache: usize, worth: usize, resident: usize, candidates: usize, length: i32, count: i32): void {
  // Invariant: fewer than `count` candidates are worth at most `low`, at least `count` at most `high`.
  let low = -1, high = load<i32>(cache + CHOICE_TOKEN);
  while (high - low > 1) {
    const middle = low + ((high - low) >> 1);
    let reached = 0;
    for (let i = 0; i < length; i++) reached += <i32>(load<i32>(at(worth, load<i32>(at(candidates, i)))) <= middle);
    if (reached >= count) high = middle;
    else low = middle;
  }
  let ties = count;
  for (let i = 0; i < length; i++) ties -= <i32>(load<i32>(at(worth, load<i32>(at(candidates, i)))) <= low);
  for (let i = 0; i < length; i++) {
    const column = load<i32>(at(candidates, i)), value = load<i32>(at(worth, column));
    if (value > high || (value == high && ties <= 0)) continue;
    if (value == high) ties--;
    store<i32>(at(resident, column), 0);
  }
  store<i32>(cache + CHOICE_RESIDENTS, load<i32>(cache + CHOICE_RESIDENTS) - count);
}

/** Uniform in 0 .. bound - 1: the generator of models/synthetic/random.ts. */
function draw(cache: usize, bound: i32): i32 {
  const state = load<u32>(cache + CHOICE_RANDOM) + 0x6d2b79f5;
  store<u32>(cache + CHOICE_RANDOM, state);
  let mixed: u32 = (state ^ (state >>> 15)) * (state | 1);
  mixed ^= mixed + (mixed ^ (mixed >>> 7)) * (mixed | 61);
  return <i32>((<u64>(mixed ^ (mixed >>> 14)) * <u64>bound) >>> 32);
}

/**
 * Makes `missing` [length] resident, as many as there are slots for; which of them is drawn when not all fit.
 */
function admit(cache: usize, resident: usize, missing: usize, length: i32, slots: i32): void {
  const residents = load<i32>(cache + CHOICE_RESIDENTS), room = min(length, slots - residents);
  for (let i = 0; i < room; i++) {
    const last = length - 1 - i, drawn = room == length ? last : draw(cache, last + 1);
    store<i32>(at(resident, load<i32>(at(missing, drawn))), 1);
    store<i32>(at(missing, drawn), load<i32>(at(missing, last)));
  }
  store<i32>(cache + CHOICE_RESIDENTS, residents + room);
}

/** The cache after a token that chose the columns at `target`; `scratch` holds 2 width words. */
function update(cache: usize, width: i32, slots: i32, policy: i32, target: usize, scratch: usize): void {
  const worth = cache + CHOICE_HEADER_BYTES, resident = at(worth, width), count = load<i32>(target);
  const token = load<i32>(cache + CHOICE_TOKEN) + 1, missing = scratch, candidates = at(scratch, width);
  store<i32>(cache + CHOICE_TOKEN, token);
  let hits = 0, unselected = 0, next = 0;
  for (let i = 0; i < width; i++) {
    const held = load<i32>(at(resident, i));
    if (next < count && load<i32>(at(target + 16, next)) == i) {
      store<i32>(at(worth, i), policy == POLICY_LFU ? load<i32>(at(worth, i)) + 1 : token);
      if (held != 0) hits++;
      else store<i32>(at(missing, next - hits), i);
      next++;
    } else if (held != 0) store<i32>(at(candidates, unselected++), i);
  }
  const surplus = min(max(count + unselected - slots, 0), unselected);
  if (surplus > 0) evict(cache, worth, resident, candidates, unselected, surplus);
  admit(cache, resident, missing, count - hits, slots);
  store<i64>(cache + CHOICE_CHOSEN, load<i64>(cache + CHOICE_CHOSEN) + <i64>count);
  store<i64>(cache + CHOICE_HITS, load<i64>(cache + CHOICE_HITS) + <i64>hits);
}

/**
 * The `count` columns of x that a token at `position` uses, to `target` (width + 5 words), and the cache's
 * update. A position not after the last one begins a new sequence. `scratch` holds 2 width words.
 */
export function choose_cached_f32(
  x: usize, width: i32, count: i32, target: usize, cache: usize, slots: i32, policy: i32, gamma: f64, position: i32,
  scratch: usize,
): void {
  if (position <= load<i32>(cache + CHOICE_POSITION)) clear(cache, width);
  store<i32>(cache + CHOICE_POSITION, position);
  weigh(x, at(cache + CHOICE_HEADER_BYTES, width), width, gamma, scratch);
  selectWeighted(scratch, x, width, count, target);
  update(cache, width, slots, policy, target, scratch);
}
