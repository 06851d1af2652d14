/**
 * Opens whatever a path leads to, by content and not by name: a GGUF file or a Hugging Face folder. Files of
 * neither kind that users are known to try get an error that names them and says what to do.
 * Sources of the signatures: GGUF specification; safetensors format; llama2.c export.py;
 * PyTorch serialization.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSource, Platform } from "../platform/types.ts";
import { openGgufFile } from "./gguf-file.ts";
import { GGUF_MAGIC } from "./gguf-types.ts";
import { openFolder } from "./huggingface-folder.ts";
import type { ModelFile } from "./model-file.ts";

/** Enough for every signature, and for the seven integers llama2.c starts with. */
const SIGNATURE_BYTES = 28;

/** "ak42", the magic of llama2.c's versioned exports. */
const LLAMA2C_MAGIC = 0x616b3432;

/** GGML, GGMF, GGJT and GGLA: what llama.cpp wrote before GGUF. */
const LEGACY_GGML_MAGICS = [0x67676d6c, 0x67676d66, 0x67676a74, 0x67676c61];

/**
 * Opens a model or a vocabulary. ResourceError when the path cannot be read, FormatError when what it holds
 * is damaged or no model, UnsupportedError when it is a kind of model file skim does not read.
 */
export async function openModelFile(platform: Platform, path: string): Promise<ModelFile> {
  const opened = await platform.open(path);
  if ("folder" in opened) return openFolder(opened.folder);
  const source = opened.file;
  try {
    const signature = new Uint8Array(Math.min(SIGNATURE_BYTES, source.size));
    await source.readInto(0, signature);
    if (startsWithWord(signature, GGUF_MAGIC)) return await openGgufFile(source);
    throw describeOtherFile(source, signature);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function describeOtherFile(source: ByteSource, signature: Uint8Array): Error {
  const expected = "expected a GGUF file or a Hugging Face folder";
  if (looksLikeSafetensors(source, signature)) {
    return new UnsupportedError(
      `${source.name}: is a bare safetensors file, which lacks the configuration and the tokenizer - pass the folder that holds it`,
    );
  }
  if (startsWithWord(signature, LLAMA2C_MAGIC) || looksLikeLlama2c(signature)) {
    return new UnsupportedError(`${source.name}: is a llama2.c checkpoint, ${expected} - convert it to GGUF`);
  }
  if (LEGACY_GGML_MAGICS.some((magic) => startsWithWord(signature, magic))) {
    return new UnsupportedError(
      `${source.name}: is a GGML file from before GGUF, ${expected} - convert it to GGUF`,
    );
  }
  if (startsWith(signature, [0x50, 0x4b, 3, 4]) || startsWith(signature, [0x80, 2])) {
    return new UnsupportedError(
      `${source.name}: is a PyTorch checkpoint, ${expected} - convert it to safetensors`,
    );
  }
  if (startsWith(signature, [0x7b])) {
    return new FormatError(`${source.name}: is JSON, ${expected} - pass the folder that holds it`);
  }
  return new FormatError(
    `${source.name}: is not a model, ${expected}, got a file of ${source.size} bytes of another kind - check the path`,
  );
}

function startsWith(signature: Uint8Array, bytes: readonly number[]): boolean {
  return signature.length >= bytes.length && bytes.every((byte, i) => signature[i] === byte);
}

function startsWithWord(signature: Uint8Array, word: number): boolean {
  return startsWith(signature, [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]);
}

/** A plausible header length followed by the start of a JSON object. */
function looksLikeSafetensors(source: ByteSource, signature: Uint8Array): boolean {
  if (signature.length < 10 || signature[8] !== 0x7b) return false;
  const view = new DataView(signature.buffer);
  return view.getUint32(4, true) === 0 && view.getUint32(0, true) <= source.size - 8;
}

/** dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: own head), seq_len as int32. */
function looksLikeLlama2c(signature: Uint8Array): boolean {
  if (signature.length < SIGNATURE_BYTES) return false;
  const [dim, hidden, layers, heads, kvHeads, vocabulary, context] = new Int32Array(signature.buffer, 0, 7);
  return (
    [dim, hidden, heads, kvHeads, context].every((size) => size > 0 && size <= 1 << 20) &&
    layers > 0 &&
    layers <= 1000 &&
    Math.abs(vocabulary) > 0 &&
    Math.abs(vocabulary) <= 1 << 22 &&
    dim % heads === 0 &&
    heads % kvHeads === 0
  );
}
