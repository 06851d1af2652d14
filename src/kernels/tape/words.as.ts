// Reading an instruction's words, and sharing work out; for all files that interpret the tape.

// @ts-ignore: decorator
@inline export function word(p: usize, index: i32): i32 { return load<i32>(p + ((<usize>index) << 2)); }
// @ts-ignore: decorator
@inline export function address(p: usize, index: i32): usize { return load<usize>(p + ((<usize>index) << 2)); }
// @ts-ignore: decorator
@inline export function real(p: usize, index: i32): f32 { return load<f32>(p + ((<usize>index) << 2)); }

/** First of `count` units that belong to a thread; the next thread's first is one past its last. */
// @ts-ignore: decorator
@inline export function shareOf(count: i32, index: i32, threads: i32): i32 { return <i32>((<i64>count * index) / threads); }
