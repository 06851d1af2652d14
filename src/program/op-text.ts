/**
 * Pieces of an op's text form that `printer.ts` and the files of single ops share. T stands for the tokens of
 * a step, R for its output rows.
 */
import type { Buffer, Weight } from "./program.ts";

/** `normed[T,64]` */
export function shapedBuffer(buffer: Buffer): string {
  return `${buffer.name}[${buffer.rows === "tokens" ? "T" : "R"},${buffer.width}]`;
}

/** `head[320,64]` */
export function shapedWeight(weight: Weight): string {
  return `${weight.name}[${weight.rows},${weight.columns}]`;
}

/** Six digits: files hold f32, whose exact decimal form is noise. */
export function shortNumber(value: number): number {
  return Number(value.toPrecision(6));
}
