// Flags of the bench command, checked.
import path from "node:path";
import { parseArgs } from "node:util";
import { readCount } from "./command.mjs";

const FLAGS = {
  model: { type: "string" },
  prompt: { type: "string", default: "512" },
  decode: { type: "string", default: "128" },
  depth: { type: "string", default: "0" },
  repeats: { type: "string", default: "5" },
  threads: { type: "string", default: "2" },
  "kv-format": { type: "string", default: "f16" },
  "flash-attention": { type: "boolean", default: false },
  wllama: { type: "string" },
  record: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
};

/** Throws an Error that names the flag. */
export function readSettings() {
  const { values } = parseArgs({ options: FLAGS });
  if (values.model === undefined) throw new Error("--model: expected a GGUF file, got nothing");
  if (!["f16", "f32"].includes(values["kv-format"])) {
    throw new Error(`--kv-format: expected f16 or f32, got ${values["kv-format"]}`);
  }
  return {
    model: path.resolve(values.model),
    prompt: readCount("--prompt", values.prompt),
    decode: readCount("--decode", values.decode),
    depths: values.depth.split(",").map((depth) => readCount("--depth", depth.trim(), 0)),
    repeats: readCount("--repeats", values.repeats),
    threads: readCount("--threads", values.threads),
    keyValueFormat: values["kv-format"],
    flashAttention: values["flash-attention"],
    chromium: values.wllama,
    record: values.record,
    json: values.json,
  };
}

/** The command as a results row states it: no folders of the machine, nothing that only says where the result goes. */
export function describeCommand(settings) {
  const { model, prompt, decode, depths, repeats, threads, keyValueFormat, flashAttention, chromium } =
    settings;
  return (
    `npm run bench -- --model ${path.basename(model)} --prompt ${prompt} --decode ${decode} --depth ${depths.join(",")} ` +
    `--repeats ${repeats} --threads ${threads} --kv-format ${keyValueFormat}` +
    (flashAttention ? " --flash-attention" : "") +
    (chromium === undefined ? "" : ` --wllama ${path.basename(chromium)}`)
  );
}
