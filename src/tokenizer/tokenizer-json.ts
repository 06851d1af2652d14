/**
 * tokenizer.json of a Hugging Face folder, encoded by @huggingface/tokenizers, decoded token by token here.
 * Deviations from that library, on purpose: control tokens are found in the raw text even when flagged
 * `normalized` (a prefix that the normalizer adds would hide them), and `clean_up_tokenization_spaces` is not
 * applied (it damages code and text that has such spaces). Invariant: with `parseSpecial: false` no control
 * token comes out of text.
 */
import { UnsupportedError } from "../errors.ts";
import type { HuggingFaceModelFile } from "../formats/model-file.ts";
import { createLibraryTokenizer, type LibraryTokenizer } from "./library-tokenizer.ts";
import { decodeAll, type PieceSource, StreamingDecoder } from "./streaming-decoder.ts";
import type { EncodeOptions, IncrementalDecoder, Tokenizer } from "./tokenizer.ts";
import { readAddFlags, readSpecialTokenText, readTokenIds } from "./tokenizer-config.ts";
import { compileDecoder, type TokenDecoder } from "./tokenizer-json-decoder.ts";
import {
  type AddedToken,
  parseTokenizerJson,
  type TokenizerJson,
  withoutControlTokens,
} from "./tokenizer-json-file.ts";

/** Stands for the text when the post-processor is asked what it puts around it. */
const TEXT_MARKER = "\uFFFFtext\uFFFF";
const NO_BYTES = new Uint8Array(0);

/**
 * Loads the tokenizer of a Hugging Face folder.
 * @throws UnsupportedError when there is no tokenizer.json or it has unknown parts,
 *   FormatError when it is malformed
 */
export async function loadTokenizerJson(file: HuggingFaceModelFile): Promise<Tokenizer> {
  const json = await file.readTokenizer();
  if (json === undefined) {
    throw new UnsupportedError(
      `${file.name}: the folder has no tokenizer, expected tokenizer.json, got none - save one with transformers ` +
        "(AutoTokenizer.from_pretrained(...).save_pretrained(...))",
    );
  }
  return new JsonTokenizer(file, parseTokenizerJson(file.name, json));
}

class JsonTokenizer implements Tokenizer, PieceSource {
  readonly kind: string;
  readonly vocabularySize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly endIds: ReadonlySet<number>;
  private readonly fileName: string;
  private readonly json: TokenizerJson;
  private readonly library: LibraryTokenizer;
  /** Made when text that is not to be parsed holds a control token: it knows none. */
  private libraryWithoutControl: LibraryTokenizer | undefined;
  private readonly controlTokens: ReadonlyMap<number, AddedToken>;
  private readonly decodeToken: TokenDecoder;
  private readonly leadingIds: readonly number[];
  private readonly closingIds: readonly number[];

  constructor(file: HuggingFaceModelFile, json: TokenizerJson) {
    const config = file.tokenizerConfig;
    this.fileName = `tokenizer.json of ${file.name}`;
    this.kind = `${json.modelType} (tokenizer.json)`;
    this.decodeToken = compileDecoder(this.fileName, json.decoder);
    const idOf = (text: string | undefined): number | undefined =>
      text === undefined ? undefined : json.idOf(text);
    this.bosId = idOf(readSpecialTokenText(config, "bos_token")) ?? readTokenIds(file, "bos_token_id")[0];
    const endIds = readTokenIds(file, "eos_token_id");
    const namedEos = idOf(readSpecialTokenText(config, "eos_token"));
    this.eosId = namedEos ?? endIds[0];
    this.endIds = new Set(namedEos === undefined ? endIds : [namedEos, ...endIds]);
    this.controlTokens = new Map(
      json.addedTokens
        .filter((token) => token.special || token.id === this.bosId || this.endIds.has(token.id))
        .map((token) => [token.id, token]),
    );
    this.json = json;
    this.library = createLibraryTokenizer(this.fileName, json.forLibrary(this.controlTokens), config);
    this.vocabularySize = this.library.model.vocab.length;
    const added = this.readPostProcessor();
    const { addBos, addEos } = readAddFlags(config);
    const chosen = (flag: boolean | undefined, id: number | undefined, fallback: readonly number[]) =>
      flag === undefined || id === undefined ? fallback : flag ? [id] : [];
    this.leadingIds = chosen(addBos, this.bosId, added.leading);
    this.closingIds = chosen(addEos, this.eosId, added.closing);
  }

  encode(text: string, options: EncodeOptions): number[] {
    const library =
      options.parseSpecial || !this.holdsControlToken(text) ? this.library : this.getLibraryWithoutControl();
    const ids = text === "" ? [] : library.encode(text, { add_special_tokens: false }).ids;
    if (!ids.every((id) => id !== undefined)) {
      throw new UnsupportedError(
        `${this.fileName}: the text has characters without a token, expected a vocabulary with byte tokens or an ` +
          "unknown token, got neither - this text cannot be encoded with this vocabulary",
      );
    }
    return options.addSpecial ? [...this.leadingIds, ...ids, ...this.closingIds] : ids;
  }

  decode(ids: readonly number[], options?: { readonly special?: boolean }): string {
    return decodeAll(this, ids, options?.special ?? false);
  }

  decoder(options?: { readonly special?: boolean }): IncrementalDecoder {
    return new StreamingDecoder(this, options?.special ?? false);
  }

  tokenText(id: number): string | undefined {
    return this.library.id_to_token(id);
  }

  piece(id: number, atStart: boolean): Uint8Array {
    const token = this.tokenText(id);
    return token === undefined ? NO_BYTES : this.decodeToken(token, atStart);
  }

  isControl(id: number): boolean {
    return this.controlTokens.has(id);
  }

  /** tokenizer.json decoders see one text, control tokens left out. */
  restartsText(): boolean {
    return false;
  }

  private holdsControlToken(text: string): boolean {
    for (const { content } of this.controlTokens.values()) {
      if (content.length > 0 && text.includes(content)) return true;
    }
    return false;
  }

  private getLibraryWithoutControl(): LibraryTokenizer {
    this.libraryWithoutControl ??= createLibraryTokenizer(
      this.fileName,
      withoutControlTokens(this.json, this.controlTokens),
      undefined,
    );
    return this.libraryWithoutControl;
  }

  /** What the post-processor puts before and after a text. */
  private readPostProcessor(): { leading: readonly number[]; closing: readonly number[] } {
    const processor = this.library.post_processor;
    if (processor === null) return { leading: [], closing: [] };
    const { tokens } = processor.post_process([TEXT_MARKER], null, true);
    const ids = tokens.map((token) => (token === TEXT_MARKER ? undefined : this.requireId(token)));
    const text = tokens.indexOf(TEXT_MARKER);
    const defined = (part: readonly (number | undefined)[]) => part.filter((id) => id !== undefined);
    return { leading: defined(ids.slice(0, text)), closing: defined(ids.slice(text + 1)) };
  }

  private requireId(token: string): number {
    const id = this.library.token_to_id(token);
    if (id !== undefined) return id;
    throw new UnsupportedError(
      `${this.fileName}: the post-processor adds ${JSON.stringify(token)}, expected a token of the vocabulary - fix ` +
        "the file",
    );
  }
}
