/**
 * Feed-forward activations by the names that config.json files use (`hidden_act`, transformers' ACT2FN
 * table), plus `fatrelu` with `hidden_act_param` as in the ProSparse checkpoints (arXiv 2402.13516).
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { Activation } from "../program/program.ts";

const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ["silu", { kind: "silu" }],
  ["swish", { kind: "silu" }],
  ["gelu", { kind: "gelu" }],
  ["gelu_new", { kind: "geluTanh" }],
  ["gelu_fast", { kind: "geluTanh" }],
  ["gelu_pytorch_tanh", { kind: "geluTanh" }],
  ["relu", { kind: "relu" }],
]);

/** Throws UnsupportedError for an unknown name, FormatError for fatrelu without its threshold. */
export function parseActivation(source: string, name: string, parameter: number | undefined): Activation {
  if (name === "fatrelu") {
    if (parameter === undefined) {
      throw new FormatError(
        `${source}: hidden_act_param, expected the threshold of fatrelu, got nothing - add it to the config`,
      );
    }
    return { kind: "fatrelu", threshold: parameter };
  }
  const activation = ACTIVATIONS.get(name);
  if (activation === undefined) {
    throw new UnsupportedError(
      `${source}: hidden_act, expected one of ${[...ACTIVATIONS.keys(), "fatrelu"].join(", ")}, got ${JSON.stringify(name)} - use a model with one of them`,
    );
  }
  return activation;
}
