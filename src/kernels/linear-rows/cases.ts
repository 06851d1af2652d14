/**
 * Case rows of live neurons: choice by gates, rows of up for the open ones, columns of down for the same,
 * in every storage; all gates closed, one open, all open, gates that equal the threshold. What is not
 * chosen may hold anything.
 */
import type { Selection } from "../../program/column-ops.ts";
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import { q4_0 } from "../../quantization/q4-0.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { CaseBuilder, INPUT_COUNT, statelessSteps, tokenBuffer } from "../case-builder.ts";
import type { KernelCase } from "../kernel-case.ts";

interface Storage {
  readonly format: WeightFormat;
  readonly name: string;
  readonly bound: number;
}

/** Two products in a row, whose sums cancel; those of 8-bit rows stand beside f32. */
const STORAGES: readonly Storage[] = [
  { format: f32, name: "f32_f32", bound: 1e-4 },
  { format: f16, name: "f16_f32", bound: 1e-4 },
  { format: bf16, name: "bf16_f32", bound: 1e-4 },
  { format: q8_0, name: "q8_i16", bound: 0.03 },
  { format: q4_0, name: "q8_i16", bound: 0.2 },
];

/** neurons x inputs, in blocks of 32 inputs. */
const SHAPES = [
  [37, 2],
  [64, 1],
  [100, 5],
] as const;

export function linearRowsCases(): readonly KernelCase[] {
  return STORAGES.flatMap((storage) => [
    ...SHAPES.flatMap(([neurons, blocks]) =>
      [0, 0.5].map((threshold) => neuronCase(storage, neurons, 32 * blocks, threshold)),
    ),
    // Float rows need no whole blocks.
    ...(storage.name.endsWith("f32")
      ? [neuronCase(storage, 21, 7, 0), neuronCase(storage, 5, 1, 0.5), neuronCase(storage, 1, 32, 0)]
      : []),
  ]);
}

function neuronCase(
  { format, name, bound }: Storage,
  neurons: number,
  inputs: number,
  threshold: number,
): KernelCase {
  const builder = new CaseBuilder(`linearRows ${format.name} ${neurons} x ${inputs}, threshold ${threshold}`);
  const x = builder.input("x", builder.random("x", INPUT_COUNT * inputs), inputs);
  const gate = builder.input("gate", gates(builder, neurons, threshold), neurons);
  const selection: Selection = {
    name: "neurons",
    width: neurons,
    rule: { kind: "gate", threshold, share: 0.5 },
  };
  builder.push({ kind: "selectColumns", x: gate, out: selection });
  const up = tokenBuffer("up", neurons);
  const weight = builder.matrix("up", neurons, inputs, format, builder.random("up", neurons * inputs));
  builder.test({ kind: "linearRows", x, selection, weight, out: up });
  const activation =
    threshold === 0 ? ({ kind: "relu" } as const) : ({ kind: "fatrelu", threshold } as const);
  const hidden = tokenBuffer("hidden", neurons);
  builder.push({ kind: "glu", gate, up, out: hidden, activation });
  const out = tokenBuffer("out", 24);
  const down = builder.matrix("down", 24, neurons, f32, builder.random("down", 24 * neurons));
  builder.push({
    kind: "linearColumns",
    x: hidden,
    selection,
    parts: [{ weight: down, bias: undefined, out }],
  });
  const kernel = { decode: `linear_rows_${name}`, batch: `linear_${name}_tile` };
  return builder.finish(out, { kernel, bound, steps: statelessSteps() });
}

/** All closed, all open, the first, the last, exactly the threshold and just below it, and what comes. */
function gates(builder: CaseBuilder, neurons: number, threshold: number): Float32Array {
  const values = builder.random("gates", INPUT_COUNT * neurons);
  for (let i = 0; i < neurons; i++) {
    values[i] = -1;
    values[neurons + i] = 1 + i;
    values[2 * neurons + i] = i === 0 ? 2 : -2;
    values[3 * neurons + i] = i === neurons - 1 ? 2 : -2;
    values[4 * neurons + i] = i % 2 === 0 ? threshold : Math.fround(threshold - 1e-6);
  }
  return values;
}
