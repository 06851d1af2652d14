/**
 * The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`: how text is cut into words before
 * byte-level BPE. Each is a list of regular expressions applied one after the other; every expression
 * cuts each piece into its matches and the gaps between them. Source: the tokenizer.json of the named
 * models (pre_tokenizer section), as numbered by llama.cpp's src/llama-vocab.cpp. A new name is one
 * more line of the table.
 */
import { UnsupportedError } from "../errors.ts";

export interface PreTokenizer {
  /** The name in the file. */
  readonly name: string;
  /** Applied in order; all have the flags `gu`. */
  readonly patterns: readonly RegExp[];
  /** A word that is a vocabulary entry is taken whole, without merging (`ignore_merges`). */
  readonly ignoreMerges: boolean;
  /** Whether BOS is added when the file does not say. */
  readonly addBos: boolean;
}

interface PreTokenizerRow {
  readonly names: readonly string[];
  readonly sources: readonly string[];
  readonly ignoreMerges?: boolean;
  readonly addBos?: boolean;
}

const CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d";
const CONTRACTIONS_ANY_CASE = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";

/** Radford et al. 2019. */
export const GPT_2 = `${CONTRACTIONS}| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`;
/** Unicode punctuation and the ASCII symbols, which Rust's is_ascii_punctuation includes. */
export const PUNCTUATION = "[\\p{P}$+<=>^~|`]";
const PUNCTUATION_RUN = `${PUNCTUATION}+`;
const THREE_DIGITS = "[0-9][0-9][0-9]";
const SPACES_AND_LINES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The pattern of tiktoken's cl100k with runs of at most `digits` digits. */
const wordsAndDigits = (digits: string): string =>
  `${CONTRACTIONS_ANY_CASE}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES_AND_LINES}`;

const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
/** The pattern of tiktoken's o200k: words break before capitals. */
const caseWords = (suffix: string, digits: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${suffix}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${suffix}` +
  `|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES_AND_LINES}`;

/**
 * Cased letters as DeepSeek LLM's tokenizer.json lists them: not quite any Unicode property, so spelled out.
 */
const DEEPSEEK_LETTERS =
  "A-Za-z\\u00B5\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u01BA\\u01BC-\\u01BF\\u01C4-\\u0293\\u0295-\\u02AF" +
  "\\u0370-\\u0373\\u0376\\u0377\\u037B-\\u037D\\u037F\\u0386\\u0388-\\u038A\\u038C\\u038E-\\u03A1\\u03A3-\\u03F5" +
  "\\u03F7-\\u0481\\u048A-\\u052F\\u0531-\\u0556\\u10A0-\\u10C5\\u13A0-\\u13F5\\u13F8-\\u13FD\\u1C90-\\u1CBA" +
  "\\u1CBD-\\u1CBF\\u1D00-\\u1D2B\\u1D6B-\\u1D77\\u1D79-\\u1D9A\\u1E00-\\u1F15\\u1F18-\\u1F1D\\u1F20-\\u1F45" +
  "\\u1F48-\\u1F4D\\u1F50-\\u1F57\\u1F59\\u1F5B\\u1F5D\\u1F5F-\\u1F7D\\u1F80-\\u1FB4\\u1FB6-\\u1FBC\\u1FBE" +
  "\\u1FC2-\\u1FC4\\u1FC6-\\u1FCC\\u1FD0-\\u1FD3\\u1FD6-\\u1FDB\\u1FE0-\\u1FEC\\u1FF2-\\u1FF4\\u1FF6-\\u1FFC" +
  "\\u2102\\u2107\\u210A-\\u2113\\u2115\\u2119-\\u211D\\u2124\\u2126\\u2128\\u212A-\\u212D\\u212F-\\u2134\\u2139" +
  "\\u213C-\\u213F\\u2145-\\u2149\\u214E\\u2183\\u2184\\u2C00-\\u2C7B\\u2C7E-\\u2CE4\\u2CEB-\\u2CEE\\u2CF2\\u2CF3" +
  "\\uA640-\\uA66D\\uA680-\\uA69B\\uA722-\\uA76F\\uA771-\\uA787\\uA78B-\\uA78E\\uAB70-\\uABBF\\uFB00-\\uFB06" +
  "\\uFB13-\\uFB17\\uFF21-\\uFF3A\\uFF41-\\uFF5A\\u{10400}-\\u{1044F}\\u{104B0}-\\u{104D3}\\u{104D8}-\\u{104FB}" +
  "\\u{10C80}-\\u{10CB2}\\u{10CC0}-\\u{10CF2}\\u{118A0}-\\u{118DF}\\u{1E900}-\\u{1E943}";
/** CJK ideographs, U+0800 to U+4E00, Hangul. */
const DEEPSEEK_CJK = "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+";
const ASCII_PUNCTUATION = "[!\"#$%&'()*+,\\-.\\/:;<=>?@\\[\\\\\\]^_`{|}~]";

const ROWS: readonly PreTokenizerRow[] = [
  { names: ["default"], sources: [PUNCTUATION_RUN, GPT_2, "\\p{N}+", THREE_DIGITS] },
  {
    names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    sources: [wordsAndDigits("\\p{N}{1,3}")],
    ignoreMerges: true,
    addBos: true,
  },
  { names: ["dbrx", "smaug-bpe"], sources: [wordsAndDigits("\\p{N}{1,3}")] },
  {
    names: ["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"],
    sources: [wordsAndDigits("\\p{N}")],
  },
  {
    names: ["gpt-2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "gigachat", "mellum"],
    sources: [GPT_2],
  },
  {
    names: ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone"],
    sources: ["\\p{N}", GPT_2],
  },
  { names: ["minerva-7b"], sources: ["\\p{N}", GPT_2], ignoreMerges: true },
  { names: ["falcon"], sources: [PUNCTUATION_RUN, GPT_2, THREE_DIGITS] },
  {
    names: ["deepseek-llm"],
    sources: [
      "[\\r\\n]",
      `\\s?[${DEEPSEEK_LETTERS}]+`,
      "\\s?[!-\\/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3000-\\u3002]+",
      // The lookbehind changes no match; without it a long run
      // of spaces is tried from every one of its characters.
      "(?<!\\s)\\s+$",
      DEEPSEEK_CJK,
      "\\p{N}+",
    ],
  },
  {
    names: ["deepseek-coder"],
    sources: ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "\\p{N}"],
  },
  {
    names: ["deepseek-v3"],
    sources: [
      "\\p{N}{1,3}",
      "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+",
      `${ASCII_PUNCTUATION}[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+` +
        `| ?[\\p{P}\\p{S}]+[\\r\\n]*|${SPACES_AND_LINES}`,
    ],
  },
  { names: ["tekken"], sources: [caseWords("", "\\p{N}")], ignoreMerges: true, addBos: true },
  { names: ["gpt-4o", "llama4"], sources: [caseWords(`(?:${CONTRACTIONS_ANY_CASE})?`, "\\p{N}{1,3}")] },
];

/** Every name a GGUF file may give, for messages and tests. */
export const PRE_TOKENIZER_NAMES: readonly string[] = ROWS.flatMap((row) => row.names);

/**
 * Compiles the pre-tokenizer of a GGUF file.
 * @param name `tokenizer.ggml.pre`
 * @throws UnsupportedError when the name is unknown:
 *   a wrong guess would tokenize almost right, which is worse
 */
export function findPreTokenizer(name: string): PreTokenizer {
  const row = ROWS.find((candidate) => candidate.names.includes(name));
  if (row === undefined) {
    throw new UnsupportedError(
      `tokenizer.ggml.pre: unknown pre-tokenizer, expected one of ${PRE_TOKENIZER_NAMES.join(", ")}, got ` +
        `"${name}" - convert the model again or ask for this pre-tokenizer`,
    );
  }
  return {
    name,
    patterns: row.sources.map(compilePattern),
    ignoreMerges: row.ignoreMerges ?? false,
    addBos: row.addBos ?? false,
  };
}

/** Cuts a text into words. Nothing is dropped: the words joined are the text. */
export function splitWords(text: string, patterns: readonly RegExp[]): string[] {
  let words = text.length > 0 ? [text] : [];
  for (const pattern of patterns) {
    const cut: string[] = [];
    for (const word of words) cutAtMatches(word, pattern, cut);
    words = cut;
  }
  return words;
}

function cutAtMatches(text: string, pattern: RegExp, pieces: string[]): void {
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) pieces.push(text.slice(end, match.index));
    if (match[0].length > 0) pieces.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push(text.slice(end));
}

/** JavaScript's \s has U+FEFF and lacks U+0085; the tokenizers mean Unicode's White_Space. */
function compilePattern(source: string): RegExp {
  return new RegExp(source.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}"), "gu");
}
