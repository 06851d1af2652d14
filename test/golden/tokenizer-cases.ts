/**
 * Readers for the tokenizer test data: case files of vocabularies (`.inp` texts, `.out` ids) and vocabulary files.
 */
import { readFileSync } from "node:fs";
import { openGgufFile } from "../../src/formats/gguf-file.ts";
import type {
  GgufModelFile,
  GgufValue,
  HuggingFaceModelFile,
  JsonObject,
} from "../../src/formats/model-file.ts";
import { memorySource } from "../../src/platform/memory.ts";
import { createGgufTokenizer } from "../../src/tokenizer/gguf-tokenizer.ts";
import { TOKEN_TYPE } from "../../src/tokenizer/gguf-vocabulary.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { dataPath } from "../shared-data.ts";

const CASE_SEPARATOR = "\n__ggml_vocab_test__\n";

export interface TokenizerCase {
  readonly text: string;
  readonly ids: readonly number[];
}

/** The cases of one vocabulary, e.g. `llama-spm`; ids are without BOS and EOS. */
export function readCases(vocabulary: string): TokenizerCase[] {
  const path = dataPath("tokenizers", "gguf-vocab", `ggml-vocab-${vocabulary}.gguf`);
  const texts = readFileSync(`${path}.inp`, "utf8").split(CASE_SEPARATOR);
  const lines = readFileSync(`${path}.out`, "utf8").split("\n");
  if (lines.length < texts.length)
    throw new Error(`${path}: ${texts.length} texts, ${lines.length} lines of ids`);
  return texts.map((text, i) => ({ text, ids: lines[i].trim().split(/\s+/).filter(Boolean).map(Number) }));
}

export async function openGguf(...path: string[]): Promise<GgufModelFile> {
  return openGgufFile(memorySource(path.at(-1)!, readFileSync(dataPath(...path))));
}

export async function openVocabulary(vocabulary: string): Promise<Tokenizer> {
  return createGgufTokenizer(await openGguf("tokenizers", "gguf-vocab", `ggml-vocab-${vocabulary}.gguf`));
}

/** A vocabulary-only GGUF that exists in memory only. */
export function ggufVocabularyFile(
  metadata: Readonly<Record<string, GgufValue>>,
  architecture = "llama",
): GgufModelFile {
  return {
    container: "gguf",
    name: "in-memory",
    architecture,
    metadata: new Map(Object.entries(metadata)),
    tensors: new Map(),
    tensorBytes: 0,
    readRows: () => Promise.reject(new Error("a vocabulary has no tensors")),
    close: () => Promise.resolve(),
  };
}

/** llama-bpe's vocabulary in the form that a converter would write, from its tiktoken-style pair of files. */
export function llama3Tokenizer(): Tokenizer {
  const encoder: Record<string, number> = JSON.parse(
    readFileSync(dataPath("tokenizers", "llama3", "encoder.json"), "utf8"),
  );
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(encoder)) tokens[id] = token;
  const merges = readFileSync(dataPath("tokenizers", "llama3", "vocab.bpe"), "utf8").split("\n");
  const bosId = tokens.push("<|begin_of_text|>") - 1;
  const eosId = tokens.push("<|eot_id|>") - 1;
  const types = tokens.map((_, id) => (id < bosId ? TOKEN_TYPE.normal : TOKEN_TYPE.control));
  return createGgufTokenizer(
    ggufVocabularyFile({
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "llama-bpe",
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.token_type": types,
      "tokenizer.ggml.merges": merges.filter((merge) => merge.includes(" ")),
      "tokenizer.ggml.bos_token_id": bosId,
      "tokenizer.ggml.eos_token_id": eosId,
    }),
  );
}

/** A Hugging Face folder with these JSON files, without weights. */
export function huggingFaceFolder(files: {
  readonly tokenizer?: JsonObject;
  readonly tokenizerConfig?: JsonObject;
  readonly config?: JsonObject;
  readonly generationConfig?: JsonObject;
  readonly chatTemplate?: string;
}): HuggingFaceModelFile {
  return {
    container: "huggingface",
    name: "in-memory",
    architecture: "llama",
    tensors: new Map(),
    tensorBytes: 0,
    readRows: () => Promise.reject(new Error("a vocabulary has no tensors")),
    close: () => Promise.resolve(),
    config: files.config ?? {},
    generationConfig: files.generationConfig,
    tokenizerConfig: files.tokenizerConfig,
    readTokenizer: () => Promise.resolve(files.tokenizer),
    chatTemplate: files.chatTemplate,
  };
}

/** A JSON file of the tokenizer data. */
export function readTokenizerData(...path: string[]): JsonObject {
  return JSON.parse(readFileSync(dataPath("tokenizers", ...path), "utf8"));
}
