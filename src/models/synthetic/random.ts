/**
 * Seeded random numbers for synthetic checkpoints. Every tensor draws from its own stream, named by seed and
 * tensor, so values depend neither on the order of tensors nor on which others exist.
 * Generator: mulberry32 (public domain, T. Ettinger); normals by the Box-Muller transform;
 * names hashed with FNV-1a.
 */

/** n values of mean and standard deviation given, as f32. */
export function normalValues(
  seed: number,
  stream: string,
  n: number,
  mean: number,
  deviation: number,
): Float32Array {
  const uniform = uniformGenerator(hash(`${seed}/${stream}`));
  const values = new Float32Array(n);
  for (let i = 0; i < n; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    values[i] = mean + radius * Math.cos(angle);
    if (i + 1 < n) {
      values[i + 1] = mean + radius * Math.sin(angle);
    }
  }
  return values;
}

/** Numbers in [0, 1) with 32 random bits. */
export function uniformGenerator(seed: number): () => number {
  const random = mulberry32(seed);
  return () => random() / 2 ** 32;
}

/** mulberry32: unsigned 32-bit numbers. */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return value;
}
