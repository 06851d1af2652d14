import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../errors.ts";
import { parseRecipe, recipeJsonSchema } from "./recipe-file.ts";
import { argumentsOf, describeStep } from "./step-commands.ts";

function recipe(...steps: object[]): string {
  return JSON.stringify({ version: 1, steps });
}

describe("recipe.json", () => {
  it("fills in what it leaves out", () => {
    const text = JSON.stringify({
      version: 1,
      evaluate: { text: "t.txt" },
      steps: [{ step: "dip", density: 0.5 }],
    });
    expect(parseRecipe(text, "r.json").evaluate).toEqual({
      text: "t.txt",
      characters: 100_000,
      protocol: "hf",
      context: 256,
    });
  });

  it.each([
    ["{", /r\.json: no JSON/],
    ["[]", /r\.json: the recipe: /],
    [JSON.stringify({ version: 2, steps: [] }), /r\.json: version: /],
    [recipe(), /r\.json: steps: /],
    [recipe({ step: "shrink" }), /r\.json: steps\[0\]\.step: /],
    [recipe({ step: "dip", density: 2 }), /r\.json: steps\[0\]\.density: /],
    [
      recipe({ step: "dip", density: 0.5 }, { step: "tender", text: "t", bits: 5 }),
      /r\.json: steps\[1\]\.bits: /,
    ],
    [recipe({ step: "tender", bits: 8 }), /r\.json: steps\[0\]\.text: /],
    [recipe({ step: "prosparse", data: "t", valid: "v", patience: 3 }), /r\.json: steps\[0\]: .*patience/],
    [recipe({ step: "dip", densty: 0.5 }), /r\.json: steps\[0\]: .*densty/],
  ])("refuses %s with the path of the wrong field", (text, message) => {
    expect(() => parseRecipe(text, "r.json")).toThrow(FormatError);
    expect(() => parseRecipe(text, "r.json")).toThrow(message);
  });

  it("has the published schema", async () => {
    const published = await readFile(new URL("../../../docs/recipe.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(recipeJsonSchema())));
  });
});

describe("steps", () => {
  it("become the arguments of their commands", () => {
    const { steps } = parseRecipe(
      recipe(
        { step: "tender", text: "t.txt", bits: 8, weightBits: 4, channelBias: false },
        { step: "tune", data: "d.txt", learningRate: 0.001 },
      ),
      "r.json",
    );
    expect(argumentsOf(steps[0], "in", "out", false)).toEqual(
      "compress tender --model in --text t.txt --bits 8 --weight-bits 4 --no-channel-bias --out out".split(
        " ",
      ),
    );
    expect(argumentsOf(steps[1], "in", "out", true)).toEqual(
      "train --model in --data d.txt --learning-rate 0.001 --out out --resume".split(" "),
    );
  });

  it("are described by what they set", () => {
    expect(describeStep({ step: "dip", density: 0.5 })).toBe("dip density 0.5");
    expect(describeStep({ step: "input-groups" })).toBe("input-groups");
  });
});
