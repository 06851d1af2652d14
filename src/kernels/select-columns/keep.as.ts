// The chosen columns of a row for training: the selections of decoding, then a copy of what they chose.
import { SELECT_GATES, SELECT_TOP } from "../layout";
import { select_above_f32, select_gates_f32, select_top_f32 } from "./select-columns.as";

/**
 * out = 0 but x in the columns that `by` [width] gets chosen; `bytes` is a whole row,
 * `scratch` holds width + 5 words.
 */
export function keep_columns_f32(
  rule: i32, count: i32, threshold: f32, by: usize, x: usize, out: usize, width: i32, bytes: usize, scratch: usize,
): void {
  if (rule == SELECT_TOP) select_top_f32(by, width, count, scratch);
  else if (rule == SELECT_GATES) select_gates_f32(by, width, threshold, scratch);
  else select_above_f32(by, width, threshold, scratch);
  memory.fill(out, 0, bytes);
  const chosen = load<u32>(scratch);
  for (let p = scratch + 16, end = p + (<usize>chosen << 2); p < end; p += 4) {
    const at = <usize>load<u32>(p) << 2;
    store<f32>(out + at, load<f32>(x + at));
  }
}
