/**
 * The tokenizer of a GGUF file: special tokens around one of three subword models, chosen by
 * `tokenizer.ggml.model`. Source: the GGUF specification; behaviour where it is silent follows llama.cpp
 * (src/llama-vocab.cpp). Invariant: control tokens come out of `encode` only through `parseSpecial` or
 * `addSpecial`, never out of ordinary text.
 */
import { UnsupportedError } from "../errors.ts";
import type { GgufModelFile } from "../formats/model-file.ts";
import { ByteLevelBpe } from "./byte-level-bpe.ts";
import { findEndIds } from "./end-tokens.ts";
import { type GgufVocabulary, readGgufVocabulary, TOKEN_TYPE } from "./gguf-vocabulary.ts";
import { SentencePiece } from "./sentencepiece.ts";
import { type SpecialToken, SpecialTokenSplitter } from "./special-tokens.ts";
import { decodeAll, type PieceSource, StreamingDecoder } from "./streaming-decoder.ts";
import type { SubwordModel } from "./subword-model.ts";
import type { EncodeOptions, IncrementalDecoder, Tokenizer } from "./tokenizer.ts";
import { WordPiece } from "./wordpiece.ts";

const SUBWORD_MODELS: Readonly<Record<string, (vocabulary: GgufVocabulary) => SubwordModel>> = {
  llama: (vocabulary) => new SentencePiece(vocabulary),
  gpt2: (vocabulary) => new ByteLevelBpe(vocabulary),
  bert: (vocabulary) => new WordPiece(vocabulary),
};

/**
 * GGUF has no field for whitespace that special tokens swallow. Phi-3's tokenizer.json gives `rstrip` to all
 * of its added tokens but these; converters lose that, so it is restored here.
 */
const PHI_3_TOKENS_WITHOUT_RSTRIP: readonly string[] = ["<unk>", "<s>", "<|endoftext|>"];

/**
 * Builds the tokenizer embedded in a GGUF file.
 * @throws UnsupportedError when there is none or its kind is unknown, FormatError when it is damaged
 */
export function createGgufTokenizer(file: GgufModelFile): Tokenizer {
  const vocabulary = readGgufVocabulary(file);
  const create = Object.hasOwn(SUBWORD_MODELS, vocabulary.model)
    ? SUBWORD_MODELS[vocabulary.model]
    : undefined;
  if (create === undefined) {
    throw new UnsupportedError(
      `${file.name}: unknown tokenizer.ggml.model, expected one of ${Object.keys(SUBWORD_MODELS).join(", ")}, got ` +
        `"${vocabulary.model}" - use a model with one of these tokenizers`,
    );
  }
  return new GgufTokenizer(vocabulary, create(vocabulary));
}

class GgufTokenizer implements Tokenizer, PieceSource {
  readonly kind: string;
  readonly vocabularySize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly endIds: ReadonlySet<number>;
  private readonly vocabulary: GgufVocabulary;
  private readonly model: SubwordModel;
  private readonly allSpecial: SpecialTokenSplitter;
  private readonly userDefined: SpecialTokenSplitter;
  private readonly leadingIds: readonly number[];
  private readonly closingIds: readonly number[];
  private readonly utf8 = new TextEncoder();

  constructor(vocabulary: GgufVocabulary, model: SubwordModel) {
    this.vocabulary = vocabulary;
    this.model = model;
    this.kind = model.kind;
    this.vocabularySize = vocabulary.tokens.length;
    this.bosId = vocabulary.bosId;
    this.eosId = vocabulary.eosId;
    this.endIds = findEndIds(vocabulary);
    const special = listSpecialTokens(vocabulary);
    this.allSpecial = new SpecialTokenSplitter(special);
    this.userDefined = new SpecialTokenSplitter(
      special.filter((token) => vocabulary.types[token.id] === TOKEN_TYPE.userDefined),
    );
    const present = (id: number | undefined): readonly number[] => (id === undefined ? [] : [id]);
    this.leadingIds = (vocabulary.addBos ?? model.addBos) ? present(vocabulary.bosId) : [];
    this.closingIds = (vocabulary.addEos ?? model.addEos) ? present(model.closingId) : [];
  }

  encode(text: string, options: EncodeOptions): number[] {
    const ids: number[] = options.addSpecial ? [...this.leadingIds] : [];
    const splitter = options.parseSpecial ? this.allSpecial : this.userDefined;
    for (const part of splitter.split(text)) {
      if (typeof part === "number") ids.push(part);
      else this.model.encode(this.model.addSpacePrefix ? ` ${part}` : part, ids);
    }
    if (options.addSpecial) ids.push(...this.closingIds);
    return ids;
  }

  decode(ids: readonly number[], options?: { readonly special?: boolean }): string {
    return decodeAll(this, ids, options?.special ?? false);
  }

  decoder(options?: { readonly special?: boolean }): IncrementalDecoder {
    return new StreamingDecoder(this, options?.special ?? false);
  }

  tokenText(id: number): string | undefined {
    return this.vocabulary.tokens[id];
  }

  piece(id: number, atStart: boolean): Uint8Array {
    return this.restartsText(id)
      ? this.utf8.encode(this.vocabulary.tokens[id])
      : this.model.piece(id, atStart);
  }

  isControl(id: number): boolean {
    const type = this.vocabulary.types[id];
    return type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
  }

  restartsText(id: number): boolean {
    return this.isControl(id) || this.vocabulary.types[id] === TOKEN_TYPE.userDefined;
  }
}

/**
 * Control, unknown and user-defined tokens: everything that is found in the text before the model sees it.
 */
function listSpecialTokens(vocabulary: GgufVocabulary): SpecialToken[] {
  const isPhi3 = vocabulary.architecture === "phi3" && vocabulary.model === "llama";
  const special: SpecialToken[] = [];
  vocabulary.tokens.forEach((content, id) => {
    const type = vocabulary.types[id];
    if (type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown || type === TOKEN_TYPE.userDefined) {
      const rstrip = isPhi3 && !PHI_3_TOKENS_WITHOUT_RSTRIP.includes(content);
      special.push({ id, content, lstrip: false, rstrip });
    }
  });
  return special;
}
