import { describe, expect, it } from "vitest";
import { parseShape } from "./synth-shape.ts";
import { SYNTH_FORMATS, synthTensors } from "./synth-weights.ts";

const SHAPE = parseShape("d=256,ff=512,layers=1,heads=4,kv=2,vocab=512", undefined);

async function decoded(format: keyof typeof SYNTH_FORMATS, name: string): Promise<Float32Array> {
  const tensors = synthTensors(SHAPE, SYNTH_FORMATS[format], 1, () => undefined);
  const tensor = tensors.find((candidate) => candidate.name === name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  const pieces: Uint8Array[] = [];
  for await (const piece of tensor.data()) pieces.push(piece);
  const bytes = new Uint8Array(Buffer.concat(pieces));
  const values = new Float32Array((bytes.length / tensor.format.blockBytes) * tensor.format.blockSize);
  tensor.format.decode(bytes, values);
  return values;
}

describe("synthTensors", () => {
  it.each(["q8_0", "q4_0", "f16"] as const)(
    "%s weights deviate by about 1 / sqrt(columns)",
    async (format) => {
      const values = await decoded(format, "blk.0.ffn_down.weight");
      expect(values).toHaveLength(256 * 512);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const deviation = Math.sqrt(
        values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length,
      );
      const wanted = 1 / Math.sqrt(512);
      // f16 takes the nearest power of two, at most a factor of sqrt(2) away.
      expect(deviation / wanted).toBeGreaterThan(format === "f16" ? 0.7 : 0.97);
      expect(deviation / wanted).toBeLessThan(format === "f16" ? 1.42 : 1.03);
      expect(Math.abs(mean) / wanted).toBeLessThan(format === "q4_0" ? 0.13 : 0.02);
    },
  );

  it("never draws the int8 code -128", async () => {
    const values = await decoded("q8_0", "token_embd.weight");
    const scale = Math.max(...values.subarray(0, 32 * 64)) / 127;
    expect(Math.min(...values.subarray(0, 32 * 64))).toBeGreaterThanOrEqual(-127.001 * scale);
  });

  it("fuses phi3's matrices and keeps llama's apart", () => {
    const names = (architecture: "llama" | "phi3") =>
      synthTensors({ ...SHAPE, architecture }, SYNTH_FORMATS.f16, 1, () => undefined).map(
        ({ name, shape }) => `${name} ${shape.join("x")}`,
      );
    expect(names("phi3")).toContain("blk.0.attn_qkv.weight 512x256");
    expect(names("phi3")).toContain("blk.0.ffn_up.weight 1024x256");
    expect(names("llama")).toContain("blk.0.attn_k.weight 128x256");
    expect(names("llama")).toHaveLength(12);
  });
});
