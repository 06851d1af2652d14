import { describe, expect, it } from "vitest";
import { FormatError, ResourceError, UnsupportedError } from "../errors.ts";
import { finishedBytes, memoryFolder, memorySink, memorySource } from "../platform/memory.ts";
import type { ByteSource, Folder, Platform } from "../platform/types.ts";
import { formatByName } from "../quantization/registry.ts";
import { stringField } from "./gguf-values.ts";
import { writeGguf } from "./gguf-writer.ts";
import type { HuggingFaceModelFile } from "./model-file.ts";
import { openModelFile } from "./open-model-file.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { tensorFromValues } from "./tensor-source.ts";

const f32 = formatByName("F32");
const text = (value: string) => new TextEncoder().encode(value);
const json = (value: unknown) => text(JSON.stringify(value));

/** The one thing openModelFile asks of a platform, and how many of the opened files are still open. */
function platformWith(opened: { file: ByteSource } | { folder: Folder }): {
  platform: Platform;
  stillOpen(): number;
} {
  let open = 0;
  const track = (source: ByteSource): ByteSource => {
    open++;
    return { ...source, close: async () => void open-- };
  };
  const tracked =
    "file" in opened
      ? { file: track(opened.file) }
      : { folder: { ...opened.folder, open: async (name: string) => track(await opened.folder.open(name)) } };
  return { platform: { open: async () => tracked } as unknown as Platform, stillOpen: () => open };
}

async function openFolder(files: Record<string, Uint8Array>) {
  const { platform, stillOpen } = platformWith({
    folder: memoryFolder("model", new Map(Object.entries(files))),
  });
  const model = (await openModelFile(platform, "model").catch((error: unknown) => {
    expect(stillOpen()).toBe(0);
    throw error;
  })) as HuggingFaceModelFile;
  return { model, stillOpen };
}

async function openFile(bytes: Uint8Array) {
  const { platform, stillOpen } = platformWith({ file: memorySource("file", bytes) });
  try {
    return await openModelFile(platform, "file");
  } catch (error) {
    expect(stillOpen()).toBe(0);
    throw error;
  }
}

async function shard(...tensors: [name: string, values: number[]][]): Promise<Uint8Array> {
  const sink = memorySink("shard");
  await writeSafetensors(
    sink,
    tensors.map(([name, values]) => tensorFromValues(name, [values.length], f32, Float32Array.from(values))),
  );
  return finishedBytes(sink);
}

const config = json({ model_type: "llama", hidden_size: 8 });
const index = (weight_map: Record<string, string>) => json({ metadata: { total_size: 8 }, weight_map });

describe("a Hugging Face folder", () => {
  it("with one weight file and all side files", async () => {
    const { model, stillOpen } = await openFolder({
      "config.json": config,
      "generation_config.json": json({ eos_token_id: [1, 2] }),
      "tokenizer_config.json": json({ bos_token: "<s>" }),
      "tokenizer.json": json({ version: "1.0" }),
      "chat_template.jinja": text("{{ messages }}"),
      "model.safetensors": await shard(["w", [1, 2]]),
      "adapter.safetensors": text("never opened"),
    });
    expect([model.container, model.architecture, model.tensorBytes]).toEqual(["huggingface", "llama", 8]);
    expect(model.config).toEqual({ model_type: "llama", hidden_size: 8 });
    expect(model.generationConfig).toEqual({ eos_token_id: [1, 2] });
    expect(model.tokenizerConfig).toEqual({ bos_token: "<s>" });
    expect(model.chatTemplate).toBe("{{ messages }}");
    expect(await model.readTokenizer()).toEqual({ version: "1.0" });
    const row = new Float32Array(2);
    await model.readRows("w", 0, 1, new Uint8Array(row.buffer));
    expect([...row]).toEqual([1, 2]);
    expect(stillOpen()).toBe(1);
    await model.close();
    expect(stillOpen()).toBe(0);
  });

  it("with shards and an index, which decides what belongs to the model", async () => {
    const { model, stillOpen } = await openFolder({
      "config.json": config,
      "model.safetensors.index.json": index({ b: "2.safetensors", a: "1.safetensors" }),
      "1.safetensors": await shard(["a", [1]], ["unlisted", [9]]),
      "2.safetensors": await shard(["b", [2]]),
    });
    expect([...model.tensors.keys()]).toEqual(["b", "a"]);
    const row = new Float32Array(1);
    await model.readRows("b", 0, 1, new Uint8Array(row.buffer));
    expect(row[0]).toBe(2);
    await model.close();
    expect(stillOpen()).toBe(0);
  });

  it("with nothing but a tokenizer opens as a vocabulary", async () => {
    const { model } = await openFolder({ "tokenizer.json": json({ version: "1.0" }) });
    expect([model.tensors.size, model.architecture, await model.readTokenizer()]).toEqual([
      0,
      "(no config.json)",
      { version: "1.0" },
    ]);
    expect([model.generationConfig, model.tokenizerConfig, model.chatTemplate]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it.each<[string, Record<string, Uint8Array>, string]>([
    ["holds only a GGUF", { "m.gguf": text("GGUF") }, "pass the file m.gguf itself"],
    ["is empty", {}, "expected a config.json in it"],
    [
      "has a config that is no object",
      { "config.json": text("[1]") },
      "expected a JSON object, got an array",
    ],
    ["has a config without model_type", { "config.json": text("{}") }, 'config.json: field "model_type"'],
    [
      "has a damaged tokenizer_config.json",
      { "config.json": config, "tokenizer_config.json": text("{") },
      "tokenizer_config.json: is not valid JSON",
    ],
    [
      "has an index that leads out of it",
      { "config.json": config, "model.safetensors.index.json": index({ a: "../a.safetensors" }) },
      'names the file "../a.safetensors", which is not in the folder',
    ],
    [
      "has an index without a map",
      { "config.json": config, "model.safetensors.index.json": json({ weight_map: { a: 1 } }) },
      'field "weight_map.a"',
    ],
    [
      "has several files and no index",
      { "config.json": config, "1.safetensors": text(""), "2.safetensors": text("") },
      "has 2 safetensors files",
    ],
    [
      "has a truncated weight file",
      { "config.json": config, "model.safetensors": text("short") },
      "has 5 bytes, expected at least 8",
    ],
  ])("that %s is refused", async (_name, files, message) => {
    const error = await openFolder(files).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toContain(message);
  });

  it("whose index and shards disagree is refused, and every file closed", async () => {
    const files = {
      "config.json": config,
      "model.safetensors.index.json": index({ a: "1.safetensors", b: "1.safetensors" }),
      "1.safetensors": await shard(["a", [1]]),
    };
    await expect(openFolder(files)).rejects.toThrow('tensor "b" is not in 1.safetensors');
  });

  it("with PyTorch weights only is unsupported", async () => {
    await expect(openFolder({ "config.json": config, "pytorch_model.bin": text("PK") })).rejects.toThrow(
      UnsupportedError,
    );
  });
});

describe("a file", () => {
  it("that starts with GGUF opens as one", async () => {
    const sink = memorySink("m.gguf");
    await writeGguf(sink, new Map([["general.architecture", stringField("qwen2")]]), []);
    const model = await openFile(finishedBytes(sink));
    expect([model.container, model.architecture, model.tensors.size]).toEqual(["gguf", "qwen2", 0]);
  });

  const llama2c = new Uint8Array(Int32Array.of(64, 172, 5, 8, 4, -512, 512, 0).buffer);
  it.each<[string, () => Uint8Array | Promise<Uint8Array>, string]>([
    ["safetensors", () => shard(["a", [1]]), "pass the folder that holds it"],
    ["llama2.c", () => llama2c, "is a llama2.c checkpoint"],
    [
      "llama2.c version 1",
      () => new Uint8Array(Int32Array.of(0x616b3432, 1, 0, 0).buffer),
      "is a llama2.c checkpoint",
    ],
    ["GGJT", () => new Uint8Array(Int32Array.of(0x67676a74, 3).buffer), "is a GGML file from before GGUF"],
    ["PyTorch", () => text("PK\u0003\u0004 and more"), "is a PyTorch checkpoint"],
  ])("of %s is unsupported with advice", async (_name, bytes, message) => {
    const error = await openFile(await bytes()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnsupportedError);
    expect((error as Error).message).toContain(message);
  });

  it.each([
    ["empty", ""],
    ["text", "ordinary raw bytes"],
    ["JSON", '{"model_type":"llama"}'],
    ["three bytes", "GGU"],
  ])("of %s is no model", async (_name, content) => {
    await expect(openFile(text(content))).rejects.toThrow(FormatError);
  });

  it("that cannot be read passes the platform's error on", async () => {
    const failing = {
      ...memorySource("file", new Uint8Array(64)),
      readInto: () => Promise.reject(new ResourceError("gone")),
    };
    await expect(openModelFile(platformWith({ file: failing }).platform, "file")).rejects.toThrow(
      ResourceError,
    );
  });
});
