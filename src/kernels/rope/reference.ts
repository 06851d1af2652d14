/**
 * rope: rotates pairs of elements of every head by an angle that grows with the token's position
 * (arXiv 2104.09864). Angles in f64. Elements beyond the rotary width stay as they are. The oracle for
 * all other rope kernels.
 */
import type { Values } from "../values.ts";
import type { RotaryTable } from "../../program/program.ts";

/** Rotates x [T, heads * headWidth] in place; positions has length T. */
export function rope(
  x: Values,
  positions: Int32Array,
  heads: number,
  headWidth: number,
  table: RotaryTable,
): void {
  const { inverseFrequencies, magnitude, pairing } = table;
  const pairs = inverseFrequencies.length;
  for (let t = 0; t < positions.length; t++) {
    for (let i = 0; i < pairs; i++) {
      const angle = positions[t] * inverseFrequencies[i];
      const cos = Math.cos(angle) * magnitude;
      const sin = Math.sin(angle) * magnitude;
      const first = pairing === "halves" ? i : 2 * i;
      const second = pairing === "halves" ? i + pairs : 2 * i + 1;
      for (let head = 0; head < heads; head++) {
        const start = (t * heads + head) * headWidth;
        const a = x[start + first];
        const b = x[start + second];
        x[start + first] = a * cos - b * sin;
        x[start + second] = a * sin + b * cos;
      }
    }
  }
}
