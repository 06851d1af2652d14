import { describe, expect, it } from "vitest";
import { OptionError } from "../errors.ts";
import { editDistance, nearestName } from "./nearest-name.ts";
import { checkGenerationOptions, checkLoadOptions, type GenerationOptions } from "./options.ts";

describe("nearestName", () => {
  it("counts edits", () => {
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("", "abc")).toBe(3);
  });

  it("ignores case and prefers the first of equals", () => {
    expect(nearestName("TOPK", ["topP", "topK"])).toBe("topK");
    expect(nearestName("x", [])).toBeUndefined();
  });
});

describe("option objects", () => {
  it("names the nearest known key", () => {
    const options = { temprature: 1 } as GenerationOptions;
    expect(() => checkGenerationOptions(options)).toThrow(OptionError);
    expect(() => checkGenerationOptions(options)).toThrow(
      'unknown key "temprature" - did you mean "temperature"?',
    );
  });

  it("finds unknown keys in nested objects", () => {
    const options = { engine: { thread: 2 } } as unknown as Parameters<typeof checkLoadOptions>[0];
    expect(() => checkLoadOptions(options)).toThrow(
      'options.engine: unknown key "thread" - did you mean "threads"?',
    );
  });

  it("says which option is out of range", () => {
    expect(() => checkGenerationOptions({ topP: 2 })).toThrow(/^generation options\.topP: .*1/);
    expect(() => checkLoadOptions({ model: { contextLength: 0 } })).toThrow(/^options\.model\.contextLength/);
    expect(() => checkGenerationOptions({ logitBias: { 12: 1.5 } })).not.toThrow();
  });
});
