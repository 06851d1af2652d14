import { describe, expect, it } from "vitest";
import { parseTransformerShape } from "./model-shapes.ts";

describe("parseTransformerShape", () => {
  it("knows published shapes and reads dimensions", () => {
    expect(parseTransformerShape("opt-6.7b")).toMatchObject({ feedForwardWidth: 16384, gated: false });
    expect(parseTransformerShape("layers=5, d=64,ff=172,heads=8,kv=4,vocab=512")).toMatchObject({
      layers: 5,
      width: 64,
      kvHeads: 4,
      gated: true,
    });
  });

  it("knows shapes by the names that synth gave them first", () => {
    expect(parseTransformerShape("llama-7b")).toEqual(parseTransformerShape("llama-2-7b"));
    expect(parseTransformerShape("llama3-8b")).toEqual(parseTransformerShape("llama-3-8b"));
  });

  it.each([
    ["phi-3-medum", /did you mean "phi-3-medium"/],
    ["layers=5,dd=64", /unknown dimension "dd" - did you mean "d"/],
    ["layers=5,d=64,ff=172,heads=8,kv=4", /vocab is missing/],
    ["layers=5,d=0,ff=172,heads=8,kv=4,vocab=9", /d, expected a positive whole number, got "0"/],
    ["layers=5,d=60,ff=172,heads=8,kv=4,vocab=9", /d, expected a multiple of the 8 heads/],
    ["layers=5,d=64,ff=172,heads=8,kv=3,vocab=9", /multiple of kv \(3\)/],
  ])("refuses %s", (text, message) => {
    expect(() => parseTransformerShape(text)).toThrow(message);
  });
});
