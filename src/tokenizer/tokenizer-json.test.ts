import { describe, expect, it } from "vitest";
import { huggingFaceFolder } from "../../test/golden/tokenizer-cases.ts";
import { FormatError, UnsupportedError } from "../errors.ts";
import type { JsonObject } from "../formats/model-file.ts";
import { BYTE_CHARACTERS } from "./byte-level-alphabet.ts";
import { loadTokenizer } from "./load-tokenizer.ts";

const ORDINARY = { addSpecial: false, parseSpecial: false };
const PARSED = { addSpecial: false, parseSpecial: true };
const BOTH = { addSpecial: true, parseSpecial: true };

const BEGIN = 260;
const END = 261;
const added = (id: number, content: string, special = true): JsonObject => ({ id, content, special });

/** The shape of Llama 3's file: byte-level BPE behind a pattern, BOS from a template in a sequence. */
const LLAMA_3: JsonObject = {
  added_tokens: [added(BEGIN, "<|begin|>"), added(END, "<|end|>"), added(262, "<think>", false)],
  normalizer: null,
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      {
        type: "Split",
        pattern: { Regex: "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s+" },
        behavior: "Isolated",
        invert: false,
      },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
  post_processor: {
    type: "Sequence",
    processors: [
      { type: "ByteLevel", add_prefix_space: true },
      {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<|begin|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
        pair: [],
        special_tokens: {},
      },
    ],
  },
  decoder: { type: "ByteLevel", add_prefix_space: true },
  model: {
    type: "BPE",
    ignore_merges: true,
    vocab: {
      ...Object.fromEntries(BYTE_CHARACTERS.map((character, byte) => [character, byte])),
      he: 256,
      ll: 257,
      hell: 258,
      "<|": 259,
    },
    merges: ["h e", "l l", "he ll", "< |"],
  },
};

const load = (tokenizer: JsonObject, rest: Partial<Parameters<typeof huggingFaceFolder>[0]> = {}) =>
  loadTokenizer(huggingFaceFolder({ tokenizer, ...rest }));

describe("tokenizer.json of a byte-level BPE", () => {
  it("encodes, decodes and names itself", async () => {
    const tokenizer = await load(LLAMA_3);
    expect(tokenizer.kind).toBe("bpe (tokenizer.json)");
    expect(tokenizer.vocabularySize).toBe(263);
    expect(tokenizer.encode("hello", ORDINARY)).toEqual([258, "o".charCodeAt(0)]);
    expect(tokenizer.encode("", BOTH)).toEqual([BEGIN]);
    expect(tokenizer.encode("hell", BOTH)).toEqual([BEGIN, 258]);
    expect(tokenizer.decode([BEGIN, 258, 262, END])).toBe("hell<think>");
    expect(tokenizer.decode([BEGIN, 258, 99_999, END], { special: true })).toBe("<|begin|>hell<|end|>");
    expect(tokenizer.decode([])).toBe("");
  });

  it("makes control tokens only of parsed text", async () => {
    const tokenizer = await load(LLAMA_3);
    expect(tokenizer.encode("hell<|end|>", PARSED)).toEqual([258, END]);
    const asText = tokenizer.encode("hell<|end|>", ORDINARY);
    expect(asText).not.toContain(END);
    expect(tokenizer.decode(asText)).toBe("hell<|end|>");
    // Not special: part of the text either way.
    expect(tokenizer.encode("<think>", ORDINARY)).toEqual([262]);
  });

  it("cannot be talked into a control token by merges or whole words", async () => {
    const model = LLAMA_3.model as JsonObject;
    const parts = ["<|b", "|>", "n|>", "in|>", "gin|>", "egin|>"];
    const merges = ["<| b", "| >", "n |>", "i n|>", "g in|>", "e gin|>", "<|b egin|>"];
    const vocab = {
      ...(model.vocab as JsonObject),
      ...Object.fromEntries(parts.map((part, i) => [part, 263 + i])),
      "<|begin|>": BEGIN,
    };
    const greedy = { ...model, vocab, merges: [...(model.merges as string[]), ...merges] };
    const tokenizer = await load({
      ...LLAMA_3,
      pre_tokenizer: { type: "ByteLevel", use_regex: false },
      model: greedy,
    });
    const ids = tokenizer.encode("<|begin|>", ORDINARY);
    expect(ids).not.toContain(BEGIN);
    expect(tokenizer.decode(ids)).toBe("<|begin|>");
  });

  it("takes BOS, EOS and all end tokens from the configuration files", async () => {
    const tokenizer = await load(LLAMA_3, {
      tokenizerConfig: { bos_token: { content: "<|begin|>" }, eos_token: "<|end|>" },
      generationConfig: { eos_token_id: [END, 7] },
      config: { eos_token_id: 8 },
    });
    expect([tokenizer.bosId, tokenizer.eosId]).toEqual([BEGIN, END]);
    expect(tokenizer.endIds).toEqual(new Set([END, 7, 8]));
    const fromIds = await load(LLAMA_3, { config: { bos_token_id: 3, eos_token_id: [4, 5] } });
    expect([fromIds.bosId, fromIds.eosId]).toEqual([3, 4]);
    expect(fromIds.endIds).toEqual(new Set([4, 5]));
  });

  it("treats an end token as control even if the file does not flag it", async () => {
    const tokenizer = await load(LLAMA_3, { config: { eos_token_id: 262 } });
    expect(tokenizer.encode("<think>", ORDINARY)).not.toContain(262);
    expect(tokenizer.decode([258, 262])).toBe("hell");
  });

  it("adds what Llama's tokenizer classes are configured to add", async () => {
    const config = { bos_token: "<|begin|>", eos_token: "<|end|>", tokenizer_class: "LlamaTokenizerFast" };
    const flags = { add_bos_token: false, add_eos_token: true };
    const tokenizer = await load(LLAMA_3, { tokenizerConfig: { ...config, ...flags } });
    expect(tokenizer.encode("hell", BOTH)).toEqual([258, END]);
    const other = { ...config, ...flags, tokenizer_class: "PreTrainedTokenizerFast" };
    expect((await load(LLAMA_3, { tokenizerConfig: other })).encode("hell", BOTH)).toEqual([BEGIN, 258]);
  });
});

describe("absent or damaged tokenizer.json", () => {
  it("says what was looked for", async () => {
    await expect(loadTokenizer(huggingFaceFolder({}))).rejects.toThrow(UnsupportedError);
    await expect(loadTokenizer(huggingFaceFolder({}))).rejects.toThrow(/expected tokenizer\.json/);
  });

  it.each([
    ["no model", { ...LLAMA_3, model: null }, FormatError, /model/],
    ["no vocabulary", { ...LLAMA_3, model: { type: "BPE" } }, FormatError, /model/],
    ["a bad section", { ...LLAMA_3, decoder: 1 }, FormatError, /decoder/],
    [
      "bad added tokens",
      { ...LLAMA_3, added_tokens: [{ id: -1, content: "x" }] },
      FormatError,
      /added_tokens/,
    ],
    ["added tokens that are no list", { ...LLAMA_3, added_tokens: 1 }, FormatError, /added_tokens/],
    ["an unknown normalizer", { ...LLAMA_3, normalizer: { type: "Mystery" } }, UnsupportedError, /Mystery/],
    ["an unknown decoder", { ...LLAMA_3, decoder: { type: "Mystery" } }, UnsupportedError, /Mystery/],
    [
      "broken merges",
      { ...LLAMA_3, model: { type: "BPE", vocab: {}, merges: 5 } },
      UnsupportedError,
      /cannot be/,
    ],
  ])("%s", async (_, tokenizer, errorClass, message) => {
    await expect(load(tokenizer as JsonObject)).rejects.toThrow(errorClass);
    await expect(load(tokenizer as JsonObject)).rejects.toThrow(message);
  });

  it("refuses a post-processor that adds a token of no vocabulary", async () => {
    const single = [{ SpecialToken: { id: "<gone>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
    const post_processor = { type: "TemplateProcessing", single, pair: [], special_tokens: {} };
    await expect(load({ ...LLAMA_3, post_processor })).rejects.toThrow(/"<gone>"/);
  });

  it("refuses bad ids and names in the configuration files", async () => {
    await expect(load(LLAMA_3, { config: { eos_token_id: "2" } })).rejects.toThrow(FormatError);
    await expect(load(LLAMA_3, { tokenizerConfig: { bos_token: 1 } })).rejects.toThrow(FormatError);
  });
});
