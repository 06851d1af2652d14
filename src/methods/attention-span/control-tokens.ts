/** The control tokens of attention spans in a vocabulary. Each is one token; text that merely spells them is not. */
import { UnsupportedError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { ControlTokens } from "./span-tracker.ts";

/** In the order in which skim's own vocabularies hold them. */
export const CONTROL_TOKENS = ["<|span|>", "<|work|>", "<|end|>", "<|sent|>"] as const;

/** Ids of the control tokens. UnsupportedError when the vocabulary lacks one of those that every task needs. */
export function findControlTokens(tokenizer: Tokenizer): ControlTokens {
  const find = (text: string) => {
    const ids = tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
    return ids.length === 1 ? ids[0] : undefined;
  };
  const [span, work, end, sentence] = CONTROL_TOKENS.map(find);
  if (span === undefined || work === undefined || end === undefined) {
    throw new UnsupportedError(
      `attention spans: expected a vocabulary with the control tokens ${CONTROL_TOKENS.slice(0, 3).join(", ")} - use a model that was trained with spans`,
    );
  }
  return { span, work, end, sentence: sentence ?? -1, endOfText: tokenizer.eosId ?? -1 };
}
