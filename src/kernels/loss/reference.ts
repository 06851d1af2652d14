/**
 * Losses over rows of logits [R, V] and their gradients, in f64: cross-entropy with a target token, distance
 * to a teacher's distribution (Hinton et al. 2015, arXiv 1503.02531), and the L1 penalty of ProSparse (arXiv
 * 2402.13516, section 3.2). The oracle of the loss kernels.
 */
import type { Values } from "../values.ts";

/** losses[r] = -ln softmax(logits[r])[targets[r]]; gradient[r] = weight (softmax - one-hot). */
export function crossEntropy(
  gradient: Values,
  losses: Values,
  logits: Values,
  targets: Int32Array,
  width: number,
  weight: number,
): void {
  for (let r = 0; r < targets.length; r++) {
    const row = logits.subarray(r * width, (r + 1) * width);
    const total = logSumExp(row, 1);
    losses[r] = total - row[targets[r]];
    for (let i = 0; i < width; i++) {
      const probability = Math.exp(row[i] - total);
      gradient[r * width + i] = weight * (probability - (i === targets[r] ? 1 : 0));
    }
  }
}

/**
 * losses[r] = t^2 KL(softmax(teacher / t) || softmax(logits / t));
 * gradient[r] = weight t (student - teacher).
 */
export function distillation(
  gradient: Values,
  losses: Values,
  logits: Values,
  teacher: Values,
  rows: number,
  width: number,
  temperature: number,
  weight: number,
): void {
  for (let r = 0; r < rows; r++) {
    const [student, master] = [logits, teacher].map((all) => all.subarray(r * width, (r + 1) * width));
    const [studentTotal, masterTotal] = [student, master].map((row) => logSumExp(row, temperature));
    let divergence = 0;
    for (let i = 0; i < width; i++) {
      const logP = master[i] / temperature - masterTotal;
      const logQ = student[i] / temperature - studentTotal;
      divergence += Math.exp(logP) * (logP - logQ);
      gradient[r * width + i] = weight * temperature * (Math.exp(logQ) - Math.exp(logP));
    }
    losses[r] = temperature * temperature * divergence;
  }
}

/** sums[n] = sum_i |x[n, i]|; gradient += weight sign(x). */
export function l1Gradient(
  gradient: Values,
  sums: Values,
  x: Values,
  rows: number,
  width: number,
  weight: number,
): void {
  for (let n = 0; n < rows; n++) {
    let sum = 0;
    for (let i = n * width; i < (n + 1) * width; i++) {
      sum += Math.abs(x[i]);
      gradient[i] += weight * Math.sign(x[i]);
    }
    sums[n] = sum;
  }
}

/** ln sum_i e^(row[i] / temperature) */
function logSumExp(row: Values, temperature: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of row) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of row) sum += Math.exp((value - largest) / temperature);
  return largest / temperature + Math.log(sum);
}
