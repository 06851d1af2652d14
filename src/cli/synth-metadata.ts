/**
 * GGUF metadata of a synthetic model: hyper-parameters under the names of gguf-py's constants.py, and a
 * made-up SentencePiece vocabulary that llama.cpp and skim both accept.
 * Invariant: every token of more than one letter is a shorter token plus one letter, so merging can reach it.
 */
import { float32Field, type GgufField, stringField, uint32Field } from "../formats/gguf-values.ts";
import { BYTE_TOKENS, SPACE_MARK, sentencePieceFields, TOKEN_TYPE } from "../models/synthetic/vocabulary.ts";
import type { SynthShape } from "./synth-shape.ts";

const LETTERS = "etaoinshrdlcumwfgypbvkjxqz";

/** All metadata; `fileType` is the number of `general.file_type`. */
export function synthMetadata(shape: SynthShape, fileType: number): Map<string, GgufField> {
  const prefix = shape.architecture;
  return new Map([
    ["general.architecture", stringField(shape.architecture)],
    ["general.name", stringField(`${shape.name} (random weights by skim synth)`)],
    ["general.file_type", uint32Field(fileType)],
    ["general.quantization_version", uint32Field(2)],
    [`${prefix}.context_length`, uint32Field(shape.contextLength)],
    [`${prefix}.rope.scaling.original_context_length`, uint32Field(shape.contextLength)],
    [`${prefix}.embedding_length`, uint32Field(shape.width)],
    [`${prefix}.block_count`, uint32Field(shape.layers)],
    [`${prefix}.feed_forward_length`, uint32Field(shape.feedForwardWidth)],
    [`${prefix}.attention.head_count`, uint32Field(shape.heads)],
    [`${prefix}.attention.head_count_kv`, uint32Field(shape.kvHeads)],
    [`${prefix}.attention.layer_norm_rms_epsilon`, float32Field(1e-5)],
    [`${prefix}.rope.dimension_count`, uint32Field(shape.headWidth)],
    [`${prefix}.rope.freq_base`, float32Field(shape.ropeBase)],
    [`${prefix}.vocab_size`, uint32Field(shape.vocabularySize)],
    ...vocabularyMetadata(shape),
  ]);
}

function vocabularyMetadata({ architecture, vocabularySize }: SynthShape): [string, GgufField][] {
  const { unknown, control, byte, normal } = TOKEN_TYPE;
  const tokens = ["<unk>", "<s>", "</s>", ...BYTE_TOKENS];
  const types: number[] = [unknown, control, control, ...BYTE_TOKENS.map(() => byte)];
  if (architecture === "phi3") {
    // llama.cpp expects this token of every model whose name says phi-3.
    tokens.push("<|endoftext|>");
    types.push(control);
  }
  const special = tokens.length;
  for (const token of words()) {
    if (tokens.length === vocabularySize) break;
    tokens.push(token);
    types.push(normal);
  }
  // Earlier tokens merge first, as in vocabularies that were trained.
  const scores = tokens.map((_, id) => (id < special ? 0 : special - id));
  return sentencePieceFields(tokens, scores, types);
}

/**
 * An endless list of tokens: single characters, then words of two, three, ...
 * letters with and without a space.
 */
function* words(): Generator<string> {
  yield SPACE_MARK;
  for (let code = 0x21; code < 0x7f; code++) yield String.fromCharCode(code);
  let stems = [...LETTERS];
  for (const letter of stems) yield SPACE_MARK + letter;
  for (;;) {
    const longer: string[] = [];
    for (const stem of stems) {
      for (const letter of LETTERS) {
        longer.push(stem + letter);
        yield stem + letter;
        yield SPACE_MARK + stem + letter;
      }
    }
    stems = longer;
  }
}
