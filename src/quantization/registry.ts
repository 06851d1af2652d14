/**
 * The list of weight formats skim knows, found by name or by the type number GGUF stores. Adding a format is
 * one file plus one line here. Numbers: `enum ggml_type` in ggml.h.
 */
import { UnsupportedError } from "../errors.ts";
import { bf16 } from "./bf16.ts";
import { f16 } from "./f16.ts";
import { f32 } from "./f32.ts";
import { i4 } from "./i4.ts";
import { i8 } from "./i8.ts";
import { iq4_nl } from "./iq4-nl.ts";
import { iq4_xs } from "./iq4-xs.ts";
import { q2_k } from "./q2-k.ts";
import { q3_k } from "./q3-k.ts";
import { q4_0 } from "./q4-0.ts";
import { q4_1 } from "./q4-1.ts";
import { q4_k } from "./q4-k.ts";
import { q5_0 } from "./q5-0.ts";
import { q5_1 } from "./q5-1.ts";
import { q5_k } from "./q5-k.ts";
import { q6_k } from "./q6-k.ts";
import { q8_0 } from "./q8-0.ts";
import { tq1_0 } from "./tq1-0.ts";
import { tq2_0 } from "./tq2-0.ts";
import type { WeightFormat } from "./weight-format.ts";

/** Every format skim decodes. */
export const weightFormats: readonly WeightFormat[] = [
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
];

/** ggml types skim does not read, so that the error can name what the file holds. */
const UNREADABLE_GGML_TYPES: ReadonlyMap<number, string> = new Map([
  [9, "Q8_1"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [39, "MXFP4"],
]);

/** Integer codes: no weights by themselves, so no list of weight formats shows them. */
const codeFormats: readonly WeightFormat[] = [i8, i4];

const byName: ReadonlyMap<string, WeightFormat> = new Map(
  [...weightFormats, ...codeFormats].map((f) => [f.name, f]),
);
const byGgmlType: ReadonlyMap<number | undefined, WeightFormat> = new Map(
  weightFormats.map((f) => [f.ggmlType, f]),
);

/** Names of the formats of weights, for messages. */
export function formatNames(): string[] {
  return weightFormats.map((f) => f.name);
}

/** Format of that name, in any case; throws UnsupportedError that lists the known names. */
export function formatByName(name: string): WeightFormat {
  const format = byName.get(name.toUpperCase());
  if (format !== undefined) return format;
  throw new UnsupportedError(
    `weight format: unknown "${name}", expected one of ${formatNames().join(", ")} - choose one of them`,
  );
}

/** Format of a GGUF tensor type number; `what` names the tensor in the UnsupportedError. */
export function formatByGgmlType(type: number, what: string): WeightFormat {
  const format = byGgmlType.get(type);
  if (format !== undefined) return format;
  const label = UNREADABLE_GGML_TYPES.get(type) ?? "unknown";
  throw new UnsupportedError(
    `${what}: tensor type ${type} (${label}) is not supported, expected one of ${formatNames().join(", ")} - requantize the model`,
  );
}
