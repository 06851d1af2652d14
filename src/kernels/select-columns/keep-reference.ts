/**
 * keepColumns: the chosen columns of every row, zeros elsewhere. What training runs in place of a choice and
 * products over the chosen columns; with a gradient in place of x it is its own gradient, since the choice
 * is a constant to it.
 */
import type { SelectionRule } from "../../program/column-ops.ts";
import type { Values } from "../values.ts";
import { selectByRule } from "./reference.ts";

/** out [rows, width] = x where `rule` chooses by the same row of `by`, 0 elsewhere. */
export function keepColumns(
  out: Values,
  x: Values,
  by: Values,
  rows: number,
  width: number,
  rule: SelectionRule,
): void {
  out.fill(0, 0, rows * width);
  for (let start = 0; start < rows * width; start += width) {
    for (const i of selectByRule(by.subarray(start, start + width), rule)) out[start + i] = x[start + i];
  }
}
