/**
 * Case rows of storeKeyValue. Attention to a single position returns the stored value itself, so these rows see the
 * cache's own rounding, bit by bit: ties, subnormals, the largest f16 and what lies beyond it.
 */
import { KEY_VALUE_FORMATS, type KeyValueFormat } from "../../program/key-value-format.ts";
import type { KeyValueCache } from "../../program/program.ts";
import { CaseBuilder, tokenBuffer } from "../case-builder.ts";
import { type CaseStep, type KernelCase, oneKernel } from "../kernel-case.ts";

const WIDTH = 16;
/** Floats come back as they are; codes times their scale are rounded once more. */
const BOUNDS: Readonly<Record<KeyValueFormat, number>> = { f16: 0, f32: 0, q8: 1e-6 };

/** Values around every rule of rounding to f16, both signs. */
const EDGES: readonly number[] = [
  0,
  1,
  1 + 2 ** -11,
  1 + 3 * 2 ** -11,
  1 + 2 ** -11 + 2 ** -20,
  2 - 2 ** -11,
  65504,
  65519,
  65520,
  70000,
  3e38,
  2 ** -14,
  2 ** -14 - 2 ** -25,
  2 ** -15,
  2 ** -24,
  2 ** -25,
  2 ** -25 + 2 ** -40,
  3 * 2 ** -25,
  2 ** -26,
  1e-30,
  1e-45,
];

export function storeKeyValueCases(): readonly KernelCase[] {
  return KEY_VALUE_FORMATS.map(storedValueCase);
}

function storedValueCase(keyValueFormat: KeyValueFormat): KernelCase {
  const builder = new CaseBuilder(`storeKeyValue ${keyValueFormat} values at the edges of f16`);
  const edges = EDGES.flatMap((value) => [value, -value]);
  const count = Math.ceil(edges.length / WIDTH) + 6;
  const values = builder.random("values", count * WIDTH);
  // The last rows are one edge each, so that large neighbours do not hide an error of a small one.
  values.set(edges);
  [2 ** -24, 3 * 2 ** -25, 2 ** -14 - 2 ** -25, 1 + 2 ** -11].forEach((edge, i) => {
    values.fill(edge, (count - 1 - i) * WIDTH, (count - i) * WIDTH);
  });
  const query = builder.input("query", new Float32Array(count * WIDTH), WIDTH);
  const key = builder.input("key", builder.random("key", count * WIDTH), WIDTH);
  const value = builder.input("value", values, WIDTH);
  const cache: KeyValueCache = { name: "cache", kvHeads: 2, headWidth: WIDTH / 2 };
  const out = tokenBuffer("out", WIDTH);
  builder.test({ kind: "storeKeyValue", key, value, cache });
  builder.push({ kind: "attention", query, cache, out, heads: 2, scale: 1, window: 1 });
  const steps = [...Array.from({ length: count }, (_, token) => [token]), [...Array(count).keys()]].map(
    stepOf,
  );
  const kernel = oneKernel(`store_key_value_${keyValueFormat}`);
  return builder.finish(out, { kernel, bound: BOUNDS[keyValueFormat], steps, slots: 2, keyValueFormat });
}

function stepOf(tokens: readonly number[], index: number): CaseStep {
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(tokens, (token) => (index + token * 3) % 50),
    slots: Int32Array.from(tokens, (token) => token & 1),
    outputs: Int32Array.from(tokens, (_, row) => row),
  };
}
