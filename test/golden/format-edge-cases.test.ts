/**
 * Tiny valid and invalid files that others wrote, as hex, and six real safetensors files: each must open with
 * exactly the contents, or fail with exactly the kind of error, that its format's specification asks for.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { FormatError, type SkimError, UnsupportedError } from "../../src/errors.ts";
import { readGgufHeader } from "../../src/formats/gguf-reader.ts";
import { openModelFile } from "../../src/formats/open-model-file.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors-reader.ts";
import { TensorTable } from "../../src/formats/tensor-layout.ts";
import { memorySource } from "../../src/platform/memory.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { ByteSource } from "../../src/platform/types.ts";
import { dataPath, describeWithData } from "../shared-data.ts";

function hexSource(name: string): ByteSource {
  const hex = readFileSync(dataPath("format-edge-cases", `${name}.hex`), "utf8").trim();
  return memorySource(name, Uint8Array.from(Buffer.from(hex, "hex")));
}

async function nodeSource(...parts: string[]): Promise<ByteSource> {
  const opened = await nodePlatform().open(dataPath(...parts));
  if (!("file" in opened)) throw new Error("not a file");
  return opened.file;
}

async function failure(promise: Promise<unknown>): Promise<SkimError> {
  return promise.then(
    () => {
      throw new Error("expected it to fail");
    },
    (error: SkimError) => error,
  );
}

describeWithData("tiny GGUF files", () => {
  it("version 2 with an F32 matrix", async () => {
    const header = await readGgufHeader(hexSource("gguf-v2-f32"));
    expect(header.version).toBe(2);
    const [{ info }] = header.tensors;
    expect([info.name, info.shape, info.format.name, info.bytes, header.dataOffset]).toEqual([
      "dense.weight",
      [2],
      "F32",
      8,
      96,
    ]);
    const bytes = new Uint8Array(8);
    await new TensorTable("v2", header.tensors).readRows("dense.weight", 0, 1, bytes);
    expect(Buffer.from(bytes).toString()).toBe("ABCDEFGH");
  });

  it("version 3 with a Q4_0 row", async () => {
    const { tensors } = await readGgufHeader(hexSource("gguf-v3-q4-0"));
    const [{ info }] = tensors;
    expect([info.name, info.shape, info.format.name, info.bytes]).toEqual(["quant.weight", [32], "Q4_0", 18]);
    const bytes = new Uint8Array(18);
    await new TensorTable("v3", tensors).readRows("quant.weight", 0, 1, bytes);
    expect([...bytes]).toEqual(Array.from({ length: 18 }, (_, i) => i));
  });

  it("an unknown tensor type and an unknown version are unsupported", async () => {
    const type = await failure(readGgufHeader(hexSource("gguf-unknown-type")));
    expect(type).toBeInstanceOf(UnsupportedError);
    expect(type.message).toContain('tensor "future.weight": tensor type 43 (unknown) is not supported');
    const version = await failure(readGgufHeader(hexSource("gguf-unsupported-version")));
    expect(version).toBeInstanceOf(UnsupportedError);
    expect(version.message).toContain("GGUF version 4 is not supported, expected 2 or 3");
  });
});

describeWithData("tiny safetensors files", () => {
  it("two tensors, and none", async () => {
    const { tensors } = await readSafetensorsHeader(hexSource("safetensors-two-tensors"));
    expect(tensors.map(({ info }) => [info.name, info.format.name, info.shape, info.bytes])).toEqual([
      ["a", "U8", [3], 3],
      ["b", "U8", [5], 5],
    ]);
    expect((await readSafetensorsHeader(hexSource("safetensors-header-only"))).tensors).toEqual([]);
  });

  it("a gap and headers without their data are damage", async () => {
    for (const name of [
      "safetensors-gap",
      "safetensors-fp8-flux2-worker-output",
      "safetensors-fp8-te137-canonical-member-units",
    ]) {
      expect(await failure(readSafetensorsHeader(hexSource(name))), name).toBeInstanceOf(FormatError);
    }
  });

  it("an unknown dtype is unsupported", async () => {
    const error = await failure(readSafetensorsHeader(hexSource("safetensors-unknown-dtype")));
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toContain("dtype F128 is unknown, expected F32, F16, BF16");
  });

  it("raw bytes are neither format", async () => {
    for (const name of ["raw-empty", "raw-small"]) {
      expect(await failure(readGgufHeader(hexSource(name))), name).toBeInstanceOf(FormatError);
      expect(await failure(readSafetensorsHeader(hexSource(name))), name).toBeInstanceOf(FormatError);
    }
  });
});

describeWithData("real safetensors files", () => {
  it.each<[string, number, string, string, number[]]>([
    ["mel_filters", 1, "mel_80", "F32", [80, 201]],
    ["tensor-1d-int32", 1, "embedding", "I32", [3]],
    ["tensor-2d-float64", 1, "embedding", "F64", [2, 3]],
    ["tensor-3d-float32", 1, "embedding", "F32", [2, 2, 3]],
    ["tensor-4d-float32", 1, "embedding", "F32", [2, 3, 1, 3]],
  ])("%s", async (file, count, name, format, shape) => {
    const source = await nodeSource("safetensors", `${file}.safetensors`);
    const { tensors } = await readSafetensorsHeader(source);
    expect(tensors.length).toBe(count);
    expect([tensors[0].info.name, tensors[0].info.format.name, tensors[0].info.shape]).toEqual([
      name,
      format,
      shape,
    ]);
    const table = new TensorTable(file, tensors);
    const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const read = table.readRows(name, 0, rows, new Uint8Array(tensors[0].info.bytes));
    if (format === "F32") await read;
    else expect(await failure(read)).toBeInstanceOf(UnsupportedError);
    await source.close();
  });

  it("hadamards: 33 matrices, and how they were made as metadata", async () => {
    const source = await nodeSource("safetensors", "hadamards.safetensors");
    const { metadata, tensors } = await readSafetensorsHeader(source);
    expect(metadata["256"]).toBe("had.256.syl");
    expect(tensors.length).toBe(Object.keys(metadata).length);
    await source.close();
  });
});

describeWithData("models opened by content", () => {
  it("a folder with a real configuration", async () => {
    const model = await openModelFile(nodePlatform(), dataPath("models/minicpm3-placeholder"));
    expect([model.container, model.architecture]).toEqual(["huggingface", "minicpm3"]);
    if (model.container !== "huggingface") throw new Error("unreachable");
    expect([model.config.hidden_size, model.config.scale_emb]).toEqual([2560, 12]);
    expect(model.tensors.get("lm_head.weight")?.shape).toEqual([100, 100]);
    expect(Object.keys((await model.readTokenizer()) ?? {})).toContain("model");
    await model.close();
  });

  it("folders that hold only a tokenizer", async () => {
    for (const folder of ["gpt2", "llama2", "phi3"]) {
      const model = await openModelFile(nodePlatform(), dataPath("tokenizers", folder));
      expect([model.container, model.tensors.size], folder).toEqual(["huggingface", 0]);
      await model.close();
    }
  });

  it("files of other kinds say what they are", async () => {
    const message = async (...parts: string[]) =>
      (await failure(openModelFile(nodePlatform(), dataPath(...parts)))).message;
    expect(await message("models/stories260K/stories260K.bin")).toContain("is a llama2.c checkpoint");
    expect(await message("safetensors/mel_filters.safetensors")).toContain("pass the folder that holds it");
    expect(await message("models/minicpm3-placeholder/config.json")).toContain("is JSON");
    expect(await message("text/tinyshakespeare.txt")).toContain("is not a model");
    expect(await message("models/absent.gguf")).toContain("no such file or folder");
  });
});
