/**
 * Which tokens end a generation. A GGUF file names one EOS, but chat models end their turns with another
 * token that many converters leave out of the metadata; llama.cpp (src/llama-vocab.cpp, end-of-generation
 * tokens) recognises those by their text, and so does this. Invariant: only control and user-defined tokens
 * are taken by their text.
 */
import { type GgufVocabulary, TOKEN_TYPE } from "./gguf-vocabulary.ts";

/** End of turn, of message, of text: never part of an answer in any model that has them. */
const END_TEXTS: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|end_of_turn|>",
  "<end_of_turn>",
  "<end_of_utterance>",
  "<|return|>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "< EOT >",
  "<｜end▁of▁sentence｜>",
]);

/** The ids after which a generation stops. */
export function findEndIds(vocabulary: GgufVocabulary): ReadonlySet<number> {
  const ids = new Set<number>(vocabulary.endOfTurnIds);
  if (vocabulary.eosId !== undefined) ids.add(vocabulary.eosId);
  vocabulary.types.forEach((type, id) => {
    const isSpecial = type === TOKEN_TYPE.control || type === TOKEN_TYPE.userDefined;
    if (isSpecial && END_TEXTS.has(vocabulary.tokens[id])) ids.add(id);
  });
  return ids;
}
