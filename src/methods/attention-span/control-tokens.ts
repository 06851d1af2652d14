/** The control tokens of attention spans in a vocabulary. Each is one token; text that merely spells them is not. */
import { UnsupportedError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { ControlTokens } from "./span-tracker.ts";

/** In the order in which skim's own vocabularies hold them. */
export const CONTROL_TOKENS = ["<|span|>", "<|work|>", "<|end|>", "<|sent|>"] as const;

const SPELLED = new RegExp(`(${CONTROL_TOKENS.map((token) => token.replaceAll("|", "\\|")).join("|")})`);

/** Pieces of a text in which control tokens are spelled: the text between them at even places, they at odd ones. */
export function splitAtControls(text: string): string[] {
  return text.split(SPELLED);
}

const [SPAN, WORK] = CONTROL_TOKENS;

/** What the lines of a worked answer state, in order: the text between <|span|> and <|work|>. */
export function statedHeaders(answer: string): string[] {
  const pieces = splitAtControls(answer);
  return pieces.filter((_, i) => pieces[i - 1] === SPAN && pieces[i + 1] === WORK);
}

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
