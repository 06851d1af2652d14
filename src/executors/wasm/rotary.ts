/**
 * The angles of a step's positions, computed in f64 once per step and shared by all layers: per token the
 * cosines, then the sines, both times the table's magnitude, as f32.
 */
import type { RotaryTable } from "../../program/program.ts";

/** Fills target [T, 2, pairs]. */
export function writeAngles(table: RotaryTable, positions: Int32Array, target: Float32Array): void {
  const pairs = table.inverseFrequencies.length;
  for (let t = 0; t < positions.length; t++) {
    const row = 2 * t * pairs;
    for (let i = 0; i < pairs; i++) {
      const angle = positions[t] * table.inverseFrequencies[i];
      target[row + i] = Math.cos(angle) * table.magnitude;
      target[row + pairs + i] = Math.sin(angle) * table.magnitude;
    }
  }
}
