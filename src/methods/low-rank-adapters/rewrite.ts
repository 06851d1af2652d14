/**
 * Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685): y = x W^T + alpha / r (x A^T) B^T beside chosen linears, as ops of the
 * program like all others. A is [r, columns], B is [rows, r]; only these two are trained.
 * Beside a product over chosen columns the adapter sees the same columns, so that W + alpha / r B A does the same.
 * Invariant: with B zero, as adapters begin, the program computes what it computed before.
 */
import { OptionError } from "../../errors.ts";
import type { Selection } from "../../program/column-ops.ts";
import type { Buffer, Op, Program, Weight } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import { layerWeight } from "../../program/weight-names.ts";

/** Linears that can have adapters, by their names in a layer. */
export const ADAPTER_TARGETS = [
  "attention.query",
  "attention.key",
  "attention.value",
  "attention.output",
  "feedForward.gate",
  "feedForward.up",
  "feedForward.down",
] as const;
export type AdapterTarget = (typeof ADAPTER_TARGETS)[number];

export interface AdapterOptions {
  /** r */
  readonly rank: number;
  /** The product is multiplied by alpha / r. */
  readonly alpha: number;
  readonly targets: readonly AdapterTarget[];
  /** Layers that get adapters; all of them by default. */
  readonly layers?: readonly number[];
}

/** A linear with its adapter. */
export interface Adapter {
  /** W [rows, columns] */
  readonly weight: Weight;
  /** A [r, columns] */
  readonly down: Weight;
  /** B [rows, r] */
  readonly up: Weight;
  /** alpha / r */
  readonly factor: number;
}

const [DOWN, UP] = [".adapterDown", ".adapterUp"];

/** The program with adapters beside its target linears, validated. OptionError when there are none. */
export function addAdapters(program: Program, options: AdapterOptions): Program {
  if (!hasTargets(program, options)) {
    throw new OptionError(
      `${program.name}: adapters for ${options.targets.join(", ")}, expected a model with such linears`,
    );
  }
  const ops = program.ops.flatMap((op): Op[] => [
    op,
    ...productsOf(op)
      .filter((product) => isTarget(product, options))
      .flatMap((product) => adapterBeside(product, options)),
  ]);
  return validateProgram({ ...program, ops });
}

/** The adapters of a program, in the order they run. */
export function listAdapters(program: Program): Adapter[] {
  const weights = program.ops.flatMap(productsOf).map(({ weight }) => weight);
  return program.ops.flatMap((op, i) => {
    if (op.kind !== "add" || i < 2) return [];
    const [lift, drop] = [program.ops[i - 1], program.ops[i - 2]];
    const [down] = productsOf(drop);
    if (lift.kind !== "linear" || down === undefined || !isAdapterWeight(lift.weight)) return [];
    const name = lift.weight.name.slice(0, -UP.length);
    const weight = weights.find((candidate) => candidate.name === name);
    if (weight === undefined) throw new Error(`adapters: ${name} has an adapter and no weight`);
    return [{ weight, down: down.weight, up: lift.weight, factor: op.factor }];
  });
}

/** Whether a weight belongs to an adapter. */
export function isAdapterWeight({ name }: Weight): boolean {
  return name.endsWith(DOWN) || name.endsWith(UP);
}

/** Whether the program has linears for adapters to stand beside. */
export function hasTargets(program: Program, options: AdapterOptions): boolean {
  return program.ops.some((op) => productsOf(op).some((product) => isTarget(product, options)));
}

/** A matrix product of an op. */
interface Product {
  readonly weight: Weight;
  readonly x: Buffer;
  readonly out: Buffer;
  /** The columns of x that it uses; all of them by default. */
  readonly selection: Selection | undefined;
}

function productsOf(op: Op): readonly Product[] {
  switch (op.kind) {
    case "linear":
    case "linearRows": // rows that were not chosen get an adapter's share too, and are read by nobody
      return [{ weight: op.weight, x: op.x, out: op.out, selection: undefined }];
    case "linearColumns":
      return op.parts.map(({ weight, out }) => ({ weight, x: op.x, out, selection: op.selection }));
    default:
      return [];
  }
}

function isTarget({ weight }: Product, { targets, layers }: AdapterOptions): boolean {
  const place = layerWeight(weight.name);
  if (place === undefined || !targets.some((target) => target === place.part)) return false;
  return layers === undefined || layers.includes(place.layer);
}

function adapterBeside({ weight, x, out, selection }: Product, { rank, alpha }: AdapterOptions): Op[] {
  const part = (suffix: string, rows: number, columns: number): Weight => {
    const name = `${weight.name}${suffix}`;
    return { name, tensor: name, rows, columns, firstRow: 0 };
  };
  const low: Buffer = { name: `${out.name}.low`, width: rank, rows: x.rows }; // [T, r]
  const high: Buffer = { name: `${out.name}.adapted`, width: weight.rows, rows: x.rows }; // [T, rows]
  const down = part(DOWN, rank, weight.columns);
  const bias = undefined;
  return [
    selection === undefined
      ? { kind: "linear", x, weight: down, bias, out: low }
      : { kind: "linearColumns", x, selection, parts: [{ weight: down, bias, out: low }] },
    { kind: "linear", x: low, weight: part(UP, weight.rows, rank), bias, out: high },
    { kind: "add", a: out, b: high, out, factor: alpha / rank },
  ];
}
