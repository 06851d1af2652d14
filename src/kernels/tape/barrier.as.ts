// Where threads meet: between instructions that depend on each other's results, and between steps. A short
// spin covers the usual wait; after it a thread sleeps in memory.atomic.wait, so that a third process on the
// machine costs one slice of time and not a spinning core. The releaser notifies only when somebody sleeps.
import {
  CONTROL_ABORT, CONTROL_ARRIVED, CONTROL_EXIT, CONTROL_GENERATION, CONTROL_IDLE, CONTROL_SLEEPERS, CONTROL_STEP,
  CONTROL_STOPPED, CONTROL_THREADS,
} from "../layout";

/**
 * Polls before sleeping, about 50 microseconds. Threads arrive tens of microseconds apart, because memory
 * does not serve them evenly, and a sleep costs more than that: README.md has the figures.
 */
const SPINS = 200000;

// @ts-ignore: decorator
@inline function waitWhile(word: usize, value: i32, sleepers: usize): void {
  for (let spin = 0; spin < SPINS; spin++) {
    if (atomic.load<i32>(word) != value) return;
  }
  atomic.add<i32>(sleepers, 1);
  while (atomic.load<i32>(word) == value) atomic.wait<i32>(word, value, -1);
  atomic.sub<i32>(sleepers, 1);
}

// @ts-ignore: decorator
@inline function wake(word: usize, sleepers: usize): void {
  if (atomic.load<i32>(sleepers) != 0) atomic.notify(word, -1);
}

/** Returns once all threads have called it; true when the step is to stop. */
export function barrier(control: usize): bool {
  const threads = load<i32>(control + CONTROL_THREADS);
  if (threads > 1) {
    const generation = atomic.load<i32>(control + CONTROL_GENERATION);
    if (atomic.add<i32>(control + CONTROL_ARRIVED, 1) == threads - 1) {
      atomic.store<i32>(control + CONTROL_ARRIVED, 0);
      store<i32>(control + CONTROL_STOPPED, atomic.load<i32>(control + CONTROL_ABORT));
      atomic.store<i32>(control + CONTROL_GENERATION, generation + 1);
      wake(control + CONTROL_GENERATION, control + CONTROL_SLEEPERS);
    } else {
      waitWhile(control + CONTROL_GENERATION, generation, control + CONTROL_SLEEPERS);
    }
    return load<i32>(control + CONTROL_STOPPED) != 0;
  }
  return atomic.load<i32>(control + CONTROL_ABORT) != 0;
}

/** Starts a step on the helper threads. */
export function announce(control: usize): void {
  atomic.add<i32>(control + CONTROL_STEP, 1);
  wake(control + CONTROL_STEP, control + CONTROL_IDLE);
}

/** Waits for the step after `seen`; false when the helper is to end. */
export function awaitStep(control: usize, seen: i32): bool {
  waitWhile(control + CONTROL_STEP, seen, control + CONTROL_IDLE);
  return atomic.load<i32>(control + CONTROL_EXIT) == 0;
}
