// The models that the parity command compares: every family, and everything a family can add that GGUF and llama.cpp
// can express. Shapes are tiny but real: rows are multiples of 32, and the vocabulary has a valid tokenizer.
// Sliding windows are missing because llama.cpp ignores them in these architectures (README).
// The context is 256 positions, the least that llama.cpp allocates; it decides between short and long rotary factors.

/** Positions that both engines allocate. */
export const CONTEXT_LENGTH = 256;
const VOCABULARY_SIZE = 512;

/**
 * @typedef {object} ParityCase
 * @property {string} title
 * @property {string} family one of SYNTHETIC_FAMILIES
 * @property {object} changes to the family's default synthetic shape
 */

/** @type {readonly ParityCase[]} */
export const PARITY_CASES = [
  { title: "llama", family: "llama", changes: { scaling: { kind: "none" }, rotaryBase: 10000 } },
  { title: "llama, llama3 scaling", family: "llama", changes: {} },
  { title: "llama, linear scaling", family: "llama", changes: { scaling: { kind: "linear", factor: 4 } } },
  {
    title: "llama, YaRN",
    family: "llama",
    changes: { scaling: { kind: "yarn", factor: 8, originalContextLength: 32 } },
  },
  { title: "llama, biases", family: "llama", changes: { biases: true } },
  {
    title: "SmolLM (llama, tied, 3 heads)",
    family: "llama",
    changes: {
      scaling: { kind: "none" },
      tiedHead: true,
      heads: 3,
      kvHeads: 1,
      width: 96,
      headWidth: 32,
      rotaryWidth: 32,
    },
  },
  { title: "mistral (heads x d > D)", family: "mistral", changes: {} },
  { title: "qwen2", family: "qwen2", changes: { scaling: { kind: "none" }, tiedHead: false } },
  { title: "qwen2, tied, YaRN", family: "qwen2", changes: {} },
  { title: "qwen3", family: "qwen3", changes: { tiedHead: false } },
  { title: "qwen3, tied", family: "qwen3", changes: {} },
  { title: "phi3", family: "phi3", changes: { scaling: { kind: "none" }, rotaryWidth: 16 } },
  { title: "phi3, partial rotation, long factors", family: "phi3", changes: {} },
  {
    title: "phi3, short factors",
    family: "phi3",
    changes: { contextLength: 4096, scaling: { kind: "longrope", originalContextLength: 1024 } },
  },
  { title: "minicpm", family: "minicpm", changes: {} },
  { title: "minicpm, grouped queries, untied", family: "minicpm", changes: { kvHeads: 2, tiedHead: false } },
  {
    title: "minicpm, long factors",
    family: "minicpm",
    changes: { scaling: { kind: "longrope", originalContextLength: 64 } },
  },
].map(({ title, family, changes }) => ({
  title,
  family,
  changes: { vocabularySize: VOCABULARY_SIZE, ...changes },
}));

/**
 * Token ids of the compared text: BOS, then ids that visit the whole vocabulary (37 is prime to its size).
 * @param {number} count
 */
export function fixedTokens(count) {
  return Array.from({ length: count }, (_, position) =>
    position === 0 ? 1 : (position * 37 + 11) % VOCABULARY_SIZE,
  );
}
