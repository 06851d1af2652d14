// What both engines are asked to do: the same token ids, the same number of decoded tokens.
// Tests are named as llama-bench names them: pp prompt processing, tg token generation, "@ d" behind a filled context.

/** Most tokens per step (skim) and per batch (llama.cpp). */
export const BATCH_SIZE = 512;
const WARM_UP = { prompt: 128, decode: 16 };

/**
 * @param {{ prompt: number, decode: number, depths: readonly number[] }} sizes
 * @param {number} vocabularySize
 */
export function planTests({ prompt, decode, depths }, vocabularySize) {
  const tests = [
    { name: `pp${prompt}`, kind: "pp", prompt: drawTokens(prompt, 1, vocabularySize), decode: 0 },
    ...depths.map((depth, i) => ({
      name: `tg${decode}${depth > 0 ? ` @ d${depth}` : ""}`,
      kind: "tg",
      // At depth 0 there is still one token to start from.
      prompt: drawTokens(Math.max(1, depth), 2 + i, vocabularySize),
      decode,
    })),
  ];
  const warmUp = {
    name: "warm-up",
    prompt: drawTokens(WARM_UP.prompt, 0, vocabularySize),
    decode: WARM_UP.decode,
  };
  const longest = Math.max(...[warmUp, ...tests].map((test) => test.prompt.length + test.decode + 1));
  // llama.cpp rounds the context up to a multiple of 256; asking for that keeps the two equal.
  return { tests, warmUp, contextLength: Math.ceil(longest / 256) * 256 };
}

/** Ids without pattern; the first differs between streams, so that no test finds another's prefix cached. */
function drawTokens(count, stream, vocabularySize) {
  let state = 0x9e3779b9 ^ stream;
  return Array.from({ length: count }, (_, i) => {
    // Linear congruential generator of Numerical Recipes; the high bits are the good ones.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return i === 0 ? stream + 3 : Math.floor((state / 2 ** 32) * vocabularySize);
  });
}
