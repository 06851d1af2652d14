// Columns that do not fit the memory: thread 0 asks the readers (offload/column-server.ts) for what the next
// product needs and sleeps until they answer. The others wait at the barrier that follows.
import {
  CONTROL_ABORT, FETCH_INPUT, FETCH_OK, FETCH_REQUEST, FETCH_RESPONSE, FETCH_SITE, FETCH_STATUS, FETCH_WHAT,
} from "../layout";

/** block, site, what, x */
export function fetchColumns(p: usize, control: usize): void {
  const block = load<usize>(p + 8);
  store<i32>(block + FETCH_SITE, load<i32>(p + 12));
  store<i32>(block + FETCH_WHAT, load<i32>(p + 16));
  store<i32>(block + FETCH_INPUT, load<i32>(p + 20));
  const request = atomic.add<i32>(block + FETCH_REQUEST, 1) + 1;
  atomic.notify(block + FETCH_REQUEST, -1);
  // A reader that died before it saw the request left its status, and answered another one at most.
  for (let seen = atomic.load<i32>(block + FETCH_RESPONSE); seen != request; seen = atomic.load<i32>(block + FETCH_RESPONSE)) {
    if (atomic.load<i32>(block + FETCH_STATUS) != FETCH_OK) break;
    atomic.wait<i32>(block + FETCH_RESPONSE, seen, -1);
  }
  // What a failed reader left in memory must not be computed with.
  if (atomic.load<i32>(block + FETCH_STATUS) != FETCH_OK) atomic.store<i32>(control + CONTROL_ABORT, 1);
}
