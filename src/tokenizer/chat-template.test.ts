import { describe, expect, it } from "vitest";
import { FormatError, OptionError, UnsupportedError } from "../errors.ts";
import type { GgufValue, JsonObject } from "../formats/model-file.ts";
import { ggufVocabularyFile, huggingFaceFolder } from "../../test/golden/tokenizer-cases.ts";
import { loadChatTemplate, requireChatTemplate } from "./chat-template.ts";

const CHATTY =
  "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}[assistant]{% endif %}";
const HELLO = [{ role: "user", content: "Hello" }];
const PROMPT = { addGenerationPrompt: true };

const gguf = (extra: Record<string, GgufValue>) =>
  ggufVocabularyFile({
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    ...extra,
  });
const folder = (tokenizerConfig: JsonObject, chatTemplate?: string) =>
  huggingFaceFolder({ tokenizerConfig, ...(chatTemplate === undefined ? {} : { chatTemplate }) });

describe("loadChatTemplate", () => {
  it("reads GGUF metadata and the texts of its special tokens", () => {
    const template = loadChatTemplate(gguf({ "tokenizer.chat_template": CHATTY }));
    expect(template?.source).toBe(CHATTY);
    expect(template?.render(HELLO, PROMPT)).toBe("<s>[user]Hello</s>[assistant]");
    expect(template?.render(HELLO, { addGenerationPrompt: false })).toBe("<s>[user]Hello</s>");
  });

  it("reads tokenizer_config.json, with tokens as strings or objects", () => {
    const config = { chat_template: CHATTY, bos_token: { content: "<b>" }, eos_token: "<e>" };
    expect(loadChatTemplate(folder(config))?.render(HELLO, PROMPT)).toBe("<b>[user]Hello<e>[assistant]");
  });

  it("prefers chat_template.jinja", () => {
    const template = loadChatTemplate(folder({ chat_template: CHATTY }, "{{ messages[0].content }}"));
    expect(template?.render(HELLO, PROMPT)).toBe("Hello");
  });

  it("takes the template for tools once there are tools", () => {
    const named = [
      { name: "default", template: "plain" },
      { name: "tool_use", template: "tools: {{ tools | length }}" },
    ];
    const fromFolder = loadChatTemplate(folder({ chat_template: named }));
    const fromGguf = loadChatTemplate(
      gguf({ "tokenizer.chat_template": "plain", "tokenizer.chat_template.tool_use": named[1].template }),
    );
    for (const template of [fromFolder, fromGguf]) {
      expect(template?.render(HELLO, PROMPT)).toBe("plain");
      expect(template?.render(HELLO, { ...PROMPT, tools: [{}, {}] })).toBe("tools: 2");
    }
  });

  it("hands extra variables to the template, and none for absent tools", () => {
    const template = loadChatTemplate(folder({}, "{% if tools is none %}no tools{% endif %} {{ effort }}"));
    expect(template?.render(HELLO, { ...PROMPT, effort: "high" })).toBe("no tools high");
  });

  it("is undefined without a template, and an error when one is required", () => {
    expect(loadChatTemplate(folder({}))).toBeUndefined();
    expect(loadChatTemplate(gguf({}))).toBeUndefined();
    expect(() => requireChatTemplate(folder({}))).toThrow(UnsupportedError);
    expect(() => requireChatTemplate(folder({}))).toThrow(/chat_template.jinja.*raw text/);
    expect(() => requireChatTemplate(gguf({}))).toThrow(/tokenizer.chat_template/);
  });

  it("says what the template objects to", () => {
    const template = loadChatTemplate(folder({}, "{{ raise_exception('no system role') }}"));
    expect(() => template?.render(HELLO, PROMPT)).toThrow(OptionError);
    expect(() => template?.render(HELLO, PROMPT)).toThrow(/no system role/);
  });

  it("refuses what is not a template", () => {
    expect(() => loadChatTemplate(folder({}, "{% for %}"))).toThrow(UnsupportedError);
    expect(() => loadChatTemplate(folder({ chat_template: 5 }))).toThrow(FormatError);
    expect(() => loadChatTemplate(folder({ chat_template: [{ name: "x" }] }))).toThrow(FormatError);
    expect(() => loadChatTemplate(folder({ chat_template: [] }))).toThrow(FormatError);
  });
});
