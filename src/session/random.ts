/**
 * The sampler's random numbers: xoshiro128** (Blackman and Vigna, 2018) with its four words filled from the
 * seed by SplitMix32 (a 32-bit Weyl sequence through MurmurHash3's finalizer, as the xoshiro authors advise).
 * Invariant: one draw per sampled token, so the same seed
 * gives the same text on every executor and thread count.
 */

export class RandomSource {
  readonly #state = new Uint32Array(4);

  /** @param seed unsigned 32-bit integer */
  constructor(seed: number) {
    let weyl = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      weyl = (weyl + 0x9e3779b9) >>> 0;
      let mixed = weyl;
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      this.#state[i] = mixed ^ (mixed >>> 16);
    }
  }

  /** The next unsigned 32-bit integer. */
  nextUint32(): number {
    const s = this.#state;
    const product = Math.imul(s[1], 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** Uniform in [0, 1) with 32 random bits. */
  nextUnit(): number {
    return this.nextUint32() / 0x1_0000_0000;
  }
}

/** A seed nobody chose, for generations that name none. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}
