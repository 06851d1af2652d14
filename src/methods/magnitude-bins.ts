/**
 * Bins of magnitudes by the leading bits of their f32 pattern, which order as the magnitudes do: 8 of the exponent
 * and some of the fraction. Counts in them do not grow with what is counted, and the edges between them are exact.
 */

/** The pattern of infinity: all bits of the exponent. */
const INFINITY_BITS = 0x7f800000;
const FRACTION_BITS = 23;

export class MagnitudeBins {
  /** Bins, the last of which holds what is not finite. */
  readonly count: number;
  readonly #droppedBits: number;

  /** @param fractionBits bits of the fraction that are kept */
  constructor(fractionBits: number) {
    this.#droppedBits = FRACTION_BITS - fractionBits;
    this.count = (INFINITY_BITS >>> this.#droppedBits) + 1;
  }

  /** The bin of each value. */
  of(values: Float32Array): Uint32Array {
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    const last = this.count - 1;
    return bits.map((pattern) => Math.min(last, (pattern & 0x7fffffff) >>> this.#droppedBits));
  }

  /** The smallest magnitude of a bin. */
  lowerEdge(bin: number): number {
    return new Float32Array(Uint32Array.of(bin << this.#droppedBits).buffer)[0];
  }
}
