/**
 * The `decoder` section of tokenizer.json, compiled to a function of one token, so that streaming costs the
 * same for every token. Source: the decoders of the Hugging Face tokenizers library. Only what needs no
 * look-ahead can be compiled: every decoder of the supported families can, others are refused by name.
 * Invariant: for well-formed byte runs the joined pieces equal that library's `decode`. Ill-formed
 * runs of byte tokens become one U+FFFD per maximal ill-formed subsequence, where the library gives
 * one per byte of the run.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";
import type { Json, JsonObject } from "../formats/model-file.ts";
import { fromByteCharacters } from "./byte-level-alphabet.ts";
import { byteOfToken, SPACE_SYMBOL } from "./subword-model.ts";

/** UTF-8 bytes of a token; `atStart` tells that no token came before it. */
export type TokenDecoder = (token: string, atStart: boolean) => Uint8Array;

/** One step on the text of a token. Bytes are final: later steps do not touch them. */
type Step = (text: string, atStart: boolean) => string | Uint8Array;

const SUPPORTED = "ByteLevel, Metaspace, WordPiece, Replace, ByteFallback, Fuse, Strip, Sequence";

/**
 * Compiles a decoder.
 * @param config the `decoder` of tokenizer.json; null joins tokens with spaces
 * @throws UnsupportedError for decoders that cannot stream, FormatError for malformed ones
 */
export function compileDecoder(fileName: string, config: JsonObject | null): TokenDecoder {
  const parts = config === null ? [] : flatten(fileName, config);
  const steps = config === null ? [joinWithSpace] : compileSteps(fileName, parts);
  const utf8 = new TextEncoder();
  return (token, atStart) => {
    let text = token;
    for (const step of steps) {
      const result = step(text, atStart);
      if (typeof result !== "string") return result;
      text = result;
    }
    return utf8.encode(text);
  };
}

const joinWithSpace: Step = (text, atStart) => (atStart ? text : ` ${text}`);

function flatten(fileName: string, config: JsonObject): JsonObject[] {
  if (config.type !== "Sequence") return [config];
  if (!Array.isArray(config.decoders)) throw malformed(fileName, "Sequence", "a list of decoders");
  return (config.decoders as readonly Json[]).flatMap((part) => {
    if (!isJsonObject(part)) throw malformed(fileName, "Sequence", "decoder objects");
    return flatten(fileName, part);
  });
}

/**
 * Fuse joins the tokens: what follows it sees the whole text, of which only a strip at the start can stream.
 */
function compileSteps(fileName: string, parts: readonly JsonObject[]): Step[] {
  const fuse = parts.findIndex((part) => part.type === "Fuse");
  const beforeFuse = fuse < 0 ? parts : parts.slice(0, fuse);
  const afterFuse = fuse < 0 ? [] : parts.slice(fuse + 1).filter((part) => part.type !== "Fuse");
  const stripAtStart = afterFuse.map((part) => compileStripOfText(fileName, part));
  const perToken = beforeFuse.map((part) => compileStep(fileName, part));
  // Bytes end the pipeline, so a strip of the whole text has to come before them; it only looks at spaces.
  const firstBytes = beforeFuse.findIndex(
    (part) => part.type === "ByteFallback" || part.type === "ByteLevel",
  );
  const insertAt = firstBytes < 0 ? perToken.length : firstBytes;
  return [...perToken.slice(0, insertAt), ...stripAtStart, ...perToken.slice(insertAt)];
}

function compileStep(fileName: string, part: JsonObject): Step {
  switch (part.type) {
    case "ByteLevel":
      return (text) => fromByteCharacters(text) ?? text;
    case "ByteFallback":
      return (text) => {
        const byte = byteOfToken(text);
        return byte === undefined ? text : Uint8Array.of(byte);
      };
    case "Metaspace":
      return compileMetaspace(part);
    case "WordPiece":
      return compileWordPiece(part);
    case "Replace":
      return compileReplace(fileName, part);
    case "Strip":
      return compileStripOfToken(fileName, part);
    default:
      throw new UnsupportedError(
        `${fileName}: unknown decoder, expected one of ${SUPPORTED}, got ${JSON.stringify(part.type)} - use a model ` +
          "with one of these decoders",
      );
  }
}

function compileMetaspace(part: JsonObject): Step {
  const symbol = typeof part.replacement === "string" ? part.replacement : SPACE_SYMBOL;
  const keepsFirst = part.prepend_scheme === "never" || part.add_prefix_space === false;
  return (text, atStart) => {
    const spaced = text.replaceAll(symbol, " ");
    return atStart && !keepsFirst && spaced.startsWith(" ") ? spaced.slice(1) : spaced;
  };
}

function compileWordPiece(part: JsonObject): Step {
  const prefix = typeof part.prefix === "string" ? part.prefix : "##";
  const cleansUp = part.cleanup === true;
  return (text, atStart) => {
    if (atStart) return text;
    const joined = prefix !== "" && text.startsWith(prefix) ? text.slice(prefix.length) : ` ${text}`;
    return cleansUp ? closeUpPunctuation(joined) : joined;
  };
}

/** The library's clean-up, as far as it can act on one token: no space before closing punctuation. */
function closeUpPunctuation(text: string): string {
  return /^ (?:[.?!,]|n't|'(?:m|s|ve|re))/.test(text) ? text.slice(1) : text;
}

function compileReplace(fileName: string, part: JsonObject): Step {
  const { pattern, content } = part;
  if (typeof content === "string" && isJsonObject(pattern)) {
    const { String: literal, Regex: regex } = pattern;
    if (typeof literal === "string") return (text) => text.replaceAll(literal, () => content);
    if (typeof regex === "string") {
      const compiled = compileRegex(fileName, regex);
      return (text) => text.replaceAll(compiled, () => content);
    }
  }
  throw malformed(fileName, "Replace", "a pattern and content");
}

function compileRegex(fileName: string, source: string): RegExp {
  try {
    return new RegExp(source, "gu");
  } catch {
    throw malformed(fileName, "Replace", `a regular expression that JavaScript knows, not ${source}`);
  }
}

function readStrip(fileName: string, part: JsonObject): { content: string; start: number; stop: number } {
  const { content, start, stop } = part;
  if (typeof content === "string" && typeof start === "number" && typeof stop === "number") {
    return { content, start, stop };
  }
  throw malformed(fileName, "Strip", "content, start and stop");
}

function compileStripOfToken(fileName: string, part: JsonObject): Step {
  const { content, start, stop } = readStrip(fileName, part);
  return (text) => {
    let from = 0;
    while (from < start && text.startsWith(content, from)) from++;
    let to = text.length;
    while (text.length - to < stop && to > from && text[to - 1] === content) to--;
    return text.slice(from, to);
  };
}

function compileStripOfText(fileName: string, part: JsonObject): Step {
  const { content, start, stop } =
    part.type === "Strip" ? readStrip(fileName, part) : { content: "", start: 0, stop: 1 };
  if (start > 1 || stop > 0) {
    throw new UnsupportedError(
      `${fileName}: cannot stream this decoder, expected at most a Strip of one character at the start after Fuse, ` +
        `got ${JSON.stringify(part)} - use a model with one of the decoders ${SUPPORTED}`,
    );
  }
  return (text, atStart) =>
    atStart && start === 1 && text.startsWith(content) ? text.slice(content.length) : text;
}

function malformed(fileName: string, type: string, expected: string): FormatError {
  return new FormatError(
    `${fileName}: bad ${type} decoder, expected ${expected}, got something else - fix the file`,
  );
}
