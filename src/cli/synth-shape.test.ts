import { describe, expect, it } from "vitest";
import { parseShape } from "./synth-shape.ts";

describe("parseShape", () => {
  it("knows published shapes and replaces their layers", () => {
    expect(parseShape("tinyllama-1.1b", undefined)).toMatchObject({
      architecture: "llama",
      width: 2048,
      feedForwardWidth: 5632,
      layers: 22,
      heads: 32,
      kvHeads: 4,
    });
    expect(parseShape("phi-3-medium", 3)).toMatchObject({ architecture: "phi3", layers: 3, kvHeads: 10 });
  });

  it("takes the simulators' names and its own, which stay in the file", () => {
    for (const name of ["llama-7b", "llama-2-7b"]) {
      expect(parseShape(name, undefined)).toMatchObject({
        name,
        feedForwardWidth: 11008,
        kvHeads: 32,
        contextLength: 4096,
        ropeBase: 10000,
      });
    }
    expect(parseShape("llama3-8b", undefined)).toMatchObject({
      name: "llama3-8b",
      vocabularySize: 128256,
      contextLength: 8192,
      ropeBase: 500000,
    });
    expect(() => parseShape("opt-6.7b", undefined)).toThrow(/unknown "opt-6\.7b"/);
  });

  it("reads dimensions", () => {
    const shape = parseShape("d=64, ff=172,layers=5,heads=8,kv=4,vocab=512,theta=500000", undefined);
    expect(shape).toMatchObject({ width: 64, layers: 5, contextLength: 2048, ropeBase: 500000 });
  });

  it.each([
    ["tinyllama", /did you mean "tinyllama-1\.1b"/],
    ["d=64,heds=2", /unknown dimension "heds" - did you mean "heads"/],
    ["d=64,ff=172,layers=5,heads=8,kv=4", /vocab is missing/],
    ["d=64,ff=x,layers=5,heads=8,kv=4,vocab=512", /ff, expected a positive whole number, got "x"/],
    ["d=60,ff=172,layers=5,heads=8,kv=4,vocab=512", /d, expected a multiple of the 8 heads/],
    ["d=72,ff=172,layers=5,heads=8,kv=4,vocab=512", /d, expected an even number of columns/],
    ["lama-7b", /did you mean "llama-7b"/],
    ["d=64,ff=172,layers=5,heads=8,kv=3,vocab=512", /multiple of kv \(3\)/],
    ["d=64,ff=172,layers=5,heads=8,kv=4,vocab=100", /vocab, expected at least 259/],
  ])("refuses %s", (text, message) => {
    expect(() => parseShape(text, undefined)).toThrow(message);
  });
});
