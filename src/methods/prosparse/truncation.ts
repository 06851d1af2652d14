/**
 * What leaving out neurons with small outputs does to a feed-forward: the cumulative error of tail truncation (CETT, ReLU^2
 * Wins, arXiv 2402.03804). Neuron i adds n_i = x1_i W[:, i] to the output; CETT at epsilon is the norm of the sum over
 * ||n_i|| < epsilon divided by the norm of the whole sum. Defined for every activation, not only for exact zeros.
 * Invariant: norms are counted in bins, so memory does not grow with the text; epsilon is known to one part in 32.
 */
import { MagnitudeBins } from "../magnitude-bins.ts";

/** Five bits of the fraction: one part in 32. */
const BINS = new MagnitudeBins(5);

/** Mean CETT and share of neurons below every epsilon, over the tokens of one layer. */
export class TruncationCurve {
  readonly #columns: Float32Array;
  readonly #norms: Float32Array;
  readonly #width: number;
  /** Sum over tokens of CETT at the lower edge of bin b, minus that of bin b - 1. */
  readonly #steps = new Float64Array(BINS.count);
  readonly #counts = new Float64Array(BINS.count);
  #tokens = 0;

  /** `columns` [neurons, width]: the down projection, transposed. */
  constructor(columns: Float32Array, width: number) {
    this.#columns = columns;
    this.#width = width;
    this.#norms = columnNorms(columns, width);
  }

  get neurons(): number {
    return this.#norms.length;
  }

  /** Takes x1 [tokens, neurons] in. */
  add(x1: Float32Array): void {
    for (let first = 0; first < x1.length; first += this.neurons) {
      this.#addToken(x1.subarray(first, first + this.neurons));
    }
  }

  /** Mean over tokens of the error of leaving out neurons below `epsilon`, rounded down to the edge of a bin. */
  errorAt(epsilon: number): number {
    return this.#sumTo(this.#steps, binOf(epsilon) + 1) / this.#tokens;
  }

  /** Share of neurons below `epsilon`, as `errorAt` rounds it. */
  shareBelow(epsilon: number): number {
    return this.#sumTo(this.#counts, binOf(epsilon)) / (this.#tokens * this.neurons);
  }

  /** The largest epsilon whose mean error is at most this. */
  epsilonFor(error: number): number {
    let best = 0;
    let sum = 0;
    for (let bin = 0; bin < BINS.count - 1; bin++) {
      sum += this.#steps[bin];
      // Rounding of the sums must not cost the last bin that drops everything.
      if (sum <= error * this.#tokens * (1 + 1e-12)) best = bin;
    }
    return BINS.lowerEdge(best);
  }

  #sumTo(values: Float64Array, end: number): number {
    let sum = 0;
    for (let bin = 0; bin < end; bin++) sum += values[bin];
    return sum;
  }

  #addToken(x1: Float32Array): void {
    const outputs = x1.map((value, i) => Math.abs(value) * this.#norms[i]);
    const bins = BINS.of(outputs);
    for (const bin of bins) this.#counts[bin]++;
    this.#tokens++;
    const order = Uint32Array.from(bins.keys())
      .filter((i) => outputs[i] > 0)
      .sort((a, b) => bins[a] - bins[b]);
    const sum = new Float64Array(this.#width);
    const reached: { readonly bin: number; readonly norm: number }[] = [];
    for (let at = 0; at < order.length; ) {
      const bin = bins[order[at]];
      for (; at < order.length && bins[order[at]] === bin; at++)
        this.#addNeuron(sum, order[at], x1[order[at]]);
      reached.push({ bin, norm: Math.hypot(...sum) });
    }
    const whole = reached.at(-1)?.norm ?? 0;
    if (whole === 0) return;
    let before = 0;
    for (const { bin, norm } of reached) {
      this.#steps[Math.min(BINS.count - 1, bin + 1)] += norm / whole - before;
      before = norm / whole;
    }
  }

  #addNeuron(sum: Float64Array, neuron: number, value: number): void {
    const first = neuron * this.#width;
    for (let i = 0; i < sum.length; i++) sum[i] += value * this.#columns[first + i];
  }
}

/** Euclidean norm of each of `columns` [neurons, width]. */
export function columnNorms(columns: Float32Array, width: number): Float32Array {
  return Float32Array.from({ length: columns.length / width }, (_, neuron) => {
    let squares = 0;
    for (let i = neuron * width; i < (neuron + 1) * width; i++) squares += columns[i] ** 2;
    return Math.sqrt(squares);
  });
}

function binOf(value: number): number {
  return BINS.of(Float32Array.of(value))[0];
}
