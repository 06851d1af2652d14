import { expect, test } from "vitest";
import { layerOfPart, layerWeight } from "./weight-names.ts";

test("splits the names of a layer's weights", () => {
  expect(layerWeight("layers.12.feedForward.gate")).toEqual({ layer: 12, part: "feedForward.gate" });
  expect(layerWeight("layers.0.attention.query.loraA")).toEqual({ layer: 0, part: "attention.query.loraA" });
  for (const name of ["head", "layers.x.norm", "model.layers.1.norm", "layers.1."]) {
    expect(layerWeight(name)).toBeUndefined();
  }
});

test("finds the layer of one part", () => {
  expect(layerOfPart("layers.3.feedForward.down", "feedForward.down")).toBe(3);
  expect(layerOfPart("layers.3.feedForward.down.bias", "feedForward.down")).toBeUndefined();
  expect(layerOfPart("head", "feedForward.down")).toBeUndefined();
});
