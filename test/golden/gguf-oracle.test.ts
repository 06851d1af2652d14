/**
 * Every GGUF of the test data read by skim and by @huggingface/gguf, an independent reader: the same metadata,
 * tensors and offsets.
 */
import { readdirSync } from "node:fs";
import { gguf } from "@huggingface/gguf";
import { expect, it } from "vitest";
import { readGgufHeader } from "../../src/formats/gguf-reader.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { dataPath, describeWithData, hasData } from "../shared-data.ts";

function ggufFiles(): string[] {
  if (!hasData) return [];
  return ["models/stories260K", "models/llama-2-tiny-random", "quantized", "tokenizers/gguf-vocab"].flatMap(
    (folder) =>
      readdirSync(dataPath(folder))
        .filter((file) => file.endsWith(".gguf"))
        .map((file) => dataPath(folder, file)),
  );
}

/**
 * Evens out two habits of the oracle: it returns all 64-bit integers as bigint, and its TextDecoder drops a
 * leading byte order mark, which is a token of several real vocabularies.
 */
function normalize(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string") return value.replace(/^\uFEFF/, "");
  return Array.isArray(value) ? value.map(normalize) : value;
}

describeWithData("GGUF against @huggingface/gguf", () => {
  it.each(ggufFiles())("%s", async (file) => {
    const opened = await nodePlatform().open(file);
    if (!("file" in opened)) throw new Error(`${file} is not a file`);
    const header = await readGgufHeader(opened.file);
    await opened.file.close();
    const oracle = await gguf(file, { allowLocalFile: true });
    const { version, tensor_count, kv_count, ...metadata } = oracle.metadata as Record<string, unknown>;

    expect(header.version).toBe(version);
    expect(header.tensors.length).toBe(Number(tensor_count));
    expect(header.metadata.size).toBe(Number(kv_count));
    for (const [key, value] of Object.entries(metadata)) {
      expect(normalize(header.metadata.get(key)), key).toEqual(normalize(value));
    }
    expect(
      header.tensors.map(({ info, offset }) => ({
        name: info.name,
        shape: [...info.shape].reverse(),
        dtype: info.format.ggmlType,
        offset: offset - header.dataOffset,
      })),
    ).toEqual(
      oracle.tensorInfos.map((tensor) => ({
        name: tensor.name,
        shape: tensor.shape.map(Number),
        dtype: Number(tensor.dtype),
        offset: Number(tensor.offset),
      })),
    );
    if (header.tensors.length > 0) expect(header.dataOffset).toBe(Number(oracle.tensorDataOffset));
  });
});
