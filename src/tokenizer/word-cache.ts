/**
 * Remembers the ids of words already encoded. Text repeats its words, so almost every merge loop of a long
 * encode is answered from here. Bounded: when full it forgets everything, which is cheap and rare.
 */

const MAXIMUM_WORDS = 1 << 16;
/** Longer words hardly ever repeat; keeping them would only hold memory. */
const MAXIMUM_WORD_LENGTH = 64;

export class WordCache {
  private readonly words = new Map<string, readonly number[]>();

  /** The ids of `word`, from `encode` the first time. */
  get(word: string, encode: (word: string) => readonly number[]): readonly number[] {
    const known = this.words.get(word);
    if (known !== undefined) return known;
    const ids = encode(word);
    if (word.length <= MAXIMUM_WORD_LENGTH) {
      if (this.words.size >= MAXIMUM_WORDS) this.words.clear();
      this.words.set(word, ids);
    }
    return ids;
  }
}
