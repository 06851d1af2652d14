// Work that threads take piece by piece while it lasts,
// where a fixed share each would make them wait for whoever was held up.

/** First of the next `count` units that no thread has taken; counters are zero when a step begins. */
// @ts-ignore: decorator
@inline export function take(counter: usize, count: i32): i32 { return atomic.add<i32>(counter, count); }
