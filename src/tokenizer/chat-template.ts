/**
 * Chat templates: the Jinja program a model ships that writes a conversation the way the model was trained to
 * read it. Rendered by @huggingface/jinja in the environment of transformers' `apply_chat_template`
 * (trim_blocks and lstrip_blocks on; `raise_exception` and `strftime_now` defined). Known limits of that
 * package: dictionaries with integer keys are refused, and `{{ flag }}` prints true where Jinja2 prints True.
 * Invariant: the text is exactly what the template writes; special tokens in it, BOS included, are text until
 * the tokenizer parses them.
 */
import { Template } from "@huggingface/jinja";
import { FormatError, OptionError, UnsupportedError } from "../errors.ts";
import type { GgufModelFile, HuggingFaceModelFile, Json, ModelFile } from "../formats/model-file.ts";
import { readGgufVocabulary } from "./gguf-vocabulary.ts";
import { readAdditionalSpecialTokens, readSpecialTokenText } from "./tokenizer-config.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

export interface RenderOptions {
  /** End with the opening of the assistant's turn. */
  readonly addGenerationPrompt: boolean;
  /** Anything else the template reads, e.g. `tools`, `enable_thinking`. */
  readonly [variable: string]: unknown;
}

const DEFAULT_NAME = "default";
/**
 * The named template that models with several use once there are tools (transformers, `get_chat_template`).
 */
const TOOL_USE_NAME = "tool_use";
const GGUF_KEY = "tokenizer.chat_template";

/** Template sources by name. */
type TemplateSources = ReadonlyMap<string, string>;
/** What templates know of the tokenizer: `bos_token` and the like. */
export type TemplateTokens = Readonly<Record<string, string | readonly string[]>>;

export class ChatTemplate {
  /** The template as the model ships it, for `inspect`. */
  readonly source: string;
  private readonly modelName: string;
  private readonly templates: ReadonlyMap<string, Template>;
  private readonly defaultTemplate: Template;
  private readonly specialTokens: TemplateTokens;

  /** @throws UnsupportedError when the Jinja in it cannot be parsed */
  constructor(modelName: string, sources: TemplateSources, specialTokens: TemplateTokens) {
    const source = sources.get(DEFAULT_NAME) ?? [...sources.values()][0];
    if (source === undefined)
      throw new FormatError(
        `${modelName}: chat_template, expected a template or a list of them, got an empty list - fix tokenizer_config.json`,
      );
    this.source = source;
    this.modelName = modelName;
    this.specialTokens = specialTokens;
    this.templates = new Map([...sources].map(([name, text]) => [name, parseTemplate(modelName, text)]));
    this.defaultTemplate = this.templates.get(DEFAULT_NAME) ?? [...this.templates.values()][0];
  }

  /**
   * Writes a conversation as the prompt text. Most templates write BOS themselves: encode the text with
   * `parseSpecial: true` and add BOS only where it is not already there.
   * @throws OptionError with the words of the template when it rejects the messages
   */
  render(messages: readonly ChatMessage[], options: RenderOptions): string {
    const { addGenerationPrompt, ...extra } = options;
    const hasTools = Array.isArray(extra.tools) && extra.tools.length > 0;
    const template = (hasTools ? this.templates.get(TOOL_USE_NAME) : undefined) ?? this.defaultTemplate;
    try {
      return template.render({
        // transformers always defines these two, and templates compare them with none.
        tools: null,
        documents: null,
        ...this.specialTokens,
        ...extra,
        messages,
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      throw new OptionError(
        `chat template of ${this.modelName}: cannot render these messages: ${reason(error)} - ` +
          "change the messages (roles, their order, a system message) or give the prompt as raw text",
        { cause: error },
      );
    }
  }
}

/**
 * The chat template of a model; undefined when it has none (base models).
 * @throws UnsupportedError when it cannot be parsed, FormatError when it is not text
 */
export function loadChatTemplate(file: ModelFile): ChatTemplate | undefined {
  const sources = file.container === "gguf" ? readGgufSources(file) : readHuggingFaceSources(file);
  if (sources === undefined) return undefined;
  const tokens = file.container === "gguf" ? readGgufSpecialTokens(file) : readHuggingFaceSpecialTokens(file);
  return new ChatTemplate(file.name, sources, tokens);
}

/** Like `loadChatTemplate`, for callers that cannot do without. */
export function requireChatTemplate(file: ModelFile): ChatTemplate {
  const template = loadChatTemplate(file);
  if (template !== undefined) return template;
  const places =
    file.container === "gguf"
      ? `metadata ${GGUF_KEY}`
      : "chat_template.jinja or chat_template in tokenizer_config.json";
  throw new UnsupportedError(
    `${file.name}: the model has no chat template, expected ${places}, got none - it is probably not a chat model; ` +
      "give the prompt as raw text",
  );
}

function parseTemplate(modelName: string, source: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new UnsupportedError(
      `chat template of ${modelName}: cannot be parsed as Jinja (${reason(error)}) - give the prompt as raw text`,
      { cause: error },
    );
  }
}

const reason = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ");

function readGgufSources(file: GgufModelFile): TemplateSources | undefined {
  const sources = new Map<string, string>();
  for (const [key, value] of file.metadata) {
    const isNamed = key.startsWith(`${GGUF_KEY}.`);
    if ((key === GGUF_KEY || isNamed) && typeof value === "string") {
      sources.set(isNamed ? key.slice(GGUF_KEY.length + 1) : DEFAULT_NAME, value);
    }
  }
  return sources.size > 0 ? sources : undefined;
}

function readGgufSpecialTokens(file: GgufModelFile): TemplateTokens {
  const { tokens, bosId, eosId, unknownId } = readGgufVocabulary(file);
  const text = (id: number | undefined): string => (id === undefined ? "" : tokens[id]);
  return { bos_token: text(bosId), eos_token: text(eosId), unk_token: text(unknownId) };
}

function readHuggingFaceSources(file: HuggingFaceModelFile): TemplateSources | undefined {
  if (file.chatTemplate !== undefined) return new Map([[DEFAULT_NAME, file.chatTemplate]]);
  const value = file.tokenizerConfig?.chat_template;
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return new Map([[DEFAULT_NAME, value]]);
  if (Array.isArray(value)) return new Map(value.map((entry) => readNamedTemplate(file.name, entry)));
  throw badTemplate(file.name, value);
}

function readNamedTemplate(modelName: string, entry: Json): readonly [string, string] {
  if (entry !== null && typeof entry === "object" && "name" in entry && "template" in entry) {
    const { name, template } = entry;
    if (typeof name === "string" && typeof template === "string") return [name, template];
  }
  throw badTemplate(modelName, entry);
}

function badTemplate(modelName: string, got: Json): FormatError {
  return new FormatError(
    `${modelName}: bad chat_template in tokenizer_config.json, expected a string or a list of {name, template}, ` +
      `got ${JSON.stringify(got).slice(0, 60)} - fix tokenizer_config.json`,
  );
}

function readHuggingFaceSpecialTokens(file: HuggingFaceModelFile): TemplateTokens {
  return {
    bos_token: readSpecialTokenText(file.tokenizerConfig, "bos_token") ?? "",
    eos_token: readSpecialTokenText(file.tokenizerConfig, "eos_token") ?? "",
    unk_token: readSpecialTokenText(file.tokenizerConfig, "unk_token") ?? "",
    pad_token: readSpecialTokenText(file.tokenizerConfig, "pad_token") ?? "",
    additional_special_tokens: readAdditionalSpecialTokens(file.tokenizerConfig),
  };
}
