/**
 * Questions from files, one JSON object per line: `{"prompt": "...", "options": ["...", "..."], "answer":
 * 0}`, or `{"prompt": "...", "answer": "..."}` for a text to predict. Prompt and option are encoded one after
 * the other, as training does it, behind the tokenizer's leading token.
 */
import { z } from "zod";
import { FormatError } from "../errors.ts";
import { parseJsonLines } from "../formats/json-lines.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { ChoiceQuestion } from "./multiple-choice.ts";

const text = z.string().min(1);
const questionSchema = z.union([
  z
    .object({ prompt: z.string(), options: z.array(text).min(2), answer: z.int().min(0) })
    .refine(({ options, answer }) => answer < options.length, { error: "answer is no index of an option" }),
  z.object({ prompt: z.string(), answer: text }),
]);

const EXPECTED =
  '{"prompt", "options", "answer"} with the index of the right option, or {"prompt", "answer"}';

/** A line of a file: options, and which is right. */
export interface QuestionText {
  readonly prompt: string;
  readonly options: readonly string[];
  readonly answer: number;
}

/** The questions of a file; empty lines are skipped. FormatError naming the first bad line. */
export function parseQuestions(name: string, file: string): QuestionText[] {
  return parseJsonLines(name, file, questionSchema, EXPECTED).map((question) =>
    "options" in question ? question : { prompt: question.prompt, options: [question.answer], answer: 0 },
  );
}

/** Token ids of a question. FormatError when the tokenizer has no token to put in front. */
export function encodeQuestion(
  { prompt, options, answer }: QuestionText,
  tokenizer: Tokenizer,
): ChoiceQuestion {
  const encode = (part: string) => tokenizer.encode(part, { addSpecial: false, parseSpecial: false });
  const [leading = tokenizer.eosId] = tokenizer.encode("", { addSpecial: true, parseSpecial: false });
  if (leading === undefined) {
    throw new FormatError(
      "tokenizer: has neither a leading nor an end token, expected one to begin a prompt",
    );
  }
  return {
    prompt: [leading, ...encode(prompt)],
    options: options.map(encode),
    optionBytes: options.map((option) => new TextEncoder().encode(option).length),
    answer,
  };
}

/** Tokens that the longest option needs together with the prompt. */
export function questionLength({ prompt, options }: ChoiceQuestion): number {
  return prompt.length + Math.max(...options.map(({ length }) => length));
}
