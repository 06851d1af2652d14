/**
 * Chat templates that models ship, against renderings recorded by another engine. The data file is C++ source; the
 * test reads the string literals of its case table. Where that engine rewrites the messages before the template
 * sees them, the case is listed with the reason and gets the rewritten messages.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { type ChatMessage, ChatTemplate } from "../../src/tokenizer/chat-template.ts";
import { dataPath, describeWithData, hasData } from "../shared-data.ts";

interface TemplateCase {
  readonly name: string;
  readonly template: string;
  readonly expected: string;
  readonly bos: string;
  readonly eos: string;
  readonly extraMessages: readonly ChatMessage[];
}

const CONVERSATION: readonly ChatMessage[] = [
  { role: "system", content: "You are a helpful assistant" },
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hi there" },
  { role: "user", content: "Who are you" },
  { role: "assistant", content: "   I am an assistant   " },
  { role: "user", content: "Another question" },
];

const STRING_LITERAL = /"((?:[^"\\]|\\.)*)"/gs;

/** The value of C string literals: the escapes that occur in the file are JSON's. */
function literals(source: string): string[] {
  return [...source.matchAll(STRING_LITERAL)].map((match) => JSON.parse(`"${match[1]}"`));
}

/** One case: fields marked by comments such as `name=`, each followed by its literal. */
function readTemplateCase(block: string): TemplateCase {
  const fields = new Map(
    [...block.matchAll(/\/\* \.(\w+) ?=? ?\*\/([^\n]*)/g)].map((match) => [match[1], literals(match[2])]),
  );
  const first = (field: string): string => fields.get(field)?.[0] ?? "";
  const extra = fields.get("extra_conversation") ?? [];
  return {
    name: first("name"),
    template: first("template_str"),
    expected: first("expected_output_jinja") || first("expected_output"),
    bos: first("bos_token"),
    eos: first("eos_token"),
    extraMessages: Array.from({ length: extra.length / 2 }, (_, i) => ({
      role: extra[2 * i],
      content: extra[2 * i + 1],
    })),
  };
}

function readTemplateCases(): TemplateCase[] {
  const source = readFileSync(dataPath("chat", "expected-from-llama.cpp.txt"), "utf8");
  return source
    .split(/(?=\/\* \.name= \*\/)/)
    .slice(1)
    .map(readTemplateCase);
}

const create = (source: string, bos: string, eos: string, more: Record<string, readonly string[]> = {}) =>
  new ChatTemplate("test", new Map([["default", source]]), { bos_token: bos, eos_token: eos, ...more });

/**
 * That engine merges a system message into the first user message for templates without a system role. skim does
 * not rewrite what it is given: gemma's and Mistral's templates refuse, the others drop it, as transformers has it.
 */
const SYSTEM_MERGED_BY_THE_ENGINE: ReadonlySet<string> = new Set([
  "mistralai/Mistral-7B-Instruct-v0.2 (NOTE: Old pre-v1 without a system prompt)",
  "google/gemma-7b-it",
  "OrionStarAI/Orion-14B-Chat",
  "Phi-3-mini",
  "Phi-3-medium",
  "yandex/YandexGPT-5-Lite-8B-instruct",
]);
const MERGED_CONVERSATION: readonly ChatMessage[] = [
  { role: "user", content: "You are a helpful assistant\nHello" },
  ...CONVERSATION.slice(2),
];

/** That engine skips the one template that indexes additional_special_tokens; its recorded text shows which. */
const ADDITIONAL_SPECIAL_TOKENS = ["<|role_sep|>", "<|message_sep|>", "[", "]"];
const NEEDS_ADDITIONAL_TOKENS = "ai-sage/GigaChat-20B-A3B-instruct";

describeWithData("renderings of another engine", () => {
  const cases = hasData ? readTemplateCases() : [];
  it("reads the whole table", () => expect(cases.length).toBe(35));

  it.each(cases)("$name", ({ name, template, expected, bos, eos, extraMessages }) => {
    const conversation = SYSTEM_MERGED_BY_THE_ENGINE.has(name) ? MERGED_CONVERSATION : CONVERSATION;
    const chat =
      name === NEEDS_ADDITIONAL_TOKENS
        ? create(template, "<s>", eos, { additional_special_tokens: ADDITIONAL_SPECIAL_TOKENS })
        : create(template, bos, eos);
    const rendered = chat.render([...conversation, ...extraMessages], { addGenerationPrompt: true });
    expect(rendered).toBe(expected);
  });
});

/** Templates that read variables a plain conversation has not; with them they render. */
const EXTRA_VARIABLES: Readonly<Record<string, Record<string, unknown>>> = {
  // Written for conversations with tools: they loop over `tools` without asking whether there are any.
  "CohereForAI-c4ai-command-r-plus-tool_use.jinja": { tools: [] },
  "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja": { tools: [] },
  "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja": { tools: [] },
  "meetkai-functionary-medium-v3.1.jinja": { tools: [] },
  "fireworks-ai-llama-3-firefunction-v2.jinja": { functions: "[]", datetime: "2024-07-01" },
};

/** What @huggingface/jinja cannot do yet, by the message it fails with. */
const UNRENDERABLE: Readonly<Record<string, string>> = {
  "ByteDance-Seed-OSS.jinja": "Object keys must be strings: got IntegerValue",
};

describeWithData("templates of released models", () => {
  const folder = dataPath("chat", "templates");
  const names = hasData ? readdirSync(folder).filter((name) => name.endsWith(".jinja")) : [];
  const messages = [
    { role: "user", content: "What is the tallest mountain?" },
    { role: "assistant", content: "Mount Everest." },
    { role: "user", content: "And the deepest lake?" },
  ];

  it("finds them all", () => expect(names.length).toBe(55));

  it.each(names)("%s", (name) => {
    const template = create(readFileSync(`${folder}/${name}`, "utf8"), "<s>", "</s>");
    const render = (addGenerationPrompt: boolean): string =>
      template.render(messages, { addGenerationPrompt, ...EXTRA_VARIABLES[name] });
    if (name in UNRENDERABLE) {
      expect(() => render(true)).toThrow(UNRENDERABLE[name]);
      return;
    }
    const rendered = render(true);
    const positions = messages.map(({ content }) => rendered.indexOf(content));
    expect(positions.every((position) => position >= 0)).toBe(true);
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    // Without the prompt some close the conversation with EOS instead.
    expect(rendered.startsWith(render(false).replace(/<\/s>$/, ""))).toBe(true);
  });
});
