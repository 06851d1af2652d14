/**
 * Replaces linears by tenderLinear as a recipe says. Source: Tender (arXiv 2406.12930) in its closed form: exponents per
 * channel, codes shifted before the product, one accumulation over all channels in natural order.
 * Invariant: every tensor named exists with the shape and format that the op needs; otherwise nothing is rewritten.
 */
import { FormatError } from "../../errors.ts";
import type { ActivationQuantizer, LinearOp, Op, Program } from "../../program/program.ts";
import { readAttentionCodes } from "./attention-codes.ts";
import { codeLimit } from "./codes.ts";
import { inputTensors, linearTensors, type TenderInput, type TenderRecipe } from "./recipe.ts";
import { expectVector, type TensorTable } from "./rewrite-tensors.ts";

/** `source` names the checkpoint. FormatError where recipe, program and tensors do not belong together. */
export function rewriteTender(
  program: Program,
  recipe: TenderRecipe,
  tensors: TensorTable,
  source: string,
): Program {
  const plans = new Map<string, { input: TenderInput; quantizer: ActivationQuantizer }>();
  recipe.inputs.forEach((input, index) => {
    const path = `${source}: recipe tender: inputs.${index}`;
    for (const linear of input.linears) {
      const op = findLinear(program, linear);
      if (op === undefined || plans.has(linear)) {
        const problem = op === undefined ? "is no linear of the program" : "is listed twice";
        throw new FormatError(`${path}.linears: ${linear} ${problem} - the recipe belongs to another model`);
      }
      plans.set(linear, { input, quantizer: buildQuantizer(input, op.x.width, tensors, path) });
    }
  });
  const tables = tableTensors(program);
  const ops = program.ops.map((op): Op => {
    const plan = op.kind === "linear" ? plans.get(op.weight.name) : undefined;
    return op.kind === "linear" && plan !== undefined
      ? rewriteLinear(op, plan.input, plan.quantizer, tensors, source, tables.has(op.weight.tensor))
      : op;
  });
  return { ...program, ops: rewriteAttention(ops, recipe, tensors, source) };
}

function rewriteAttention(
  ops: readonly Op[],
  { attention = [] }: TenderRecipe,
  tensors: TensorTable,
  source: string,
): readonly Op[] {
  const rewritten = [...ops];
  attention.forEach((entry, index) => {
    const path = `${source}: recipe tender: attention.${index}`;
    const at = rewritten.findIndex((op) => op.kind === "attention" && op.cache.name === entry.cache);
    const op = rewritten[at];
    if (op?.kind !== "attention") {
      throw new FormatError(
        `${path}.cache: the program has no ${entry.cache} - the recipe belongs to another model`,
      );
    }
    rewritten[at] = { ...op, codes: readAttentionCodes(op, entry, tensors, path) };
  });
  return rewritten;
}

/** Tensors that are embedding tables; a tied head's codes need a name of their own. */
export function tableTensors(program: Program): ReadonlySet<string> {
  return new Set(program.ops.flatMap((op) => (op.kind === "embed" ? [op.table.tensor] : [])));
}

function findLinear(program: Program, name: string): LinearOp | undefined {
  return program.ops.find((op): op is LinearOp => op.kind === "linear" && op.weight.name === name);
}

function buildQuantizer(
  { name, activations }: TenderInput,
  width: number,
  tensors: TensorTable,
  path: string,
): ActivationQuantizer {
  if (activations.kind === "dynamic") {
    return { kind: "dynamic", name: `per token ${activations.limit}`, limit: activations.limit };
  }
  const { bits, groups, chunks, chunkRows, channelBias } = activations;
  const names = inputTensors(name);
  const vector = (tensor: string, length: number) => expectVector(tensor, length, tensors, path);
  return {
    kind: "static",
    name,
    limit: codeLimit(bits),
    maxExponent: groups - 1,
    chunks,
    chunkRows,
    bias: channelBias ? vector(names.bias, chunks * width) : undefined,
    exponents: vector(names.exponents, chunks * width),
    scales: vector(names.scales, chunks),
  };
}

function rewriteLinear(
  op: LinearOp,
  input: TenderInput,
  quantizer: ActivationQuantizer,
  tensors: TensorTable,
  source: string,
  inTable: boolean,
): Op {
  const { weight } = op;
  const path = `${source}: recipe tender: ${weight.name}`;
  const names = linearTensors(weight, inTable);
  const format = tensors.get(names.codes)?.format;
  if (format?.name !== `I${input.codeBits}`) {
    throw new FormatError(
      `${path}: tensor ${names.codes}, expected ${input.codeBits}-bit codes (I${input.codeBits}), got ${format?.name ?? "no such tensor"} - recipe and tensors do not belong together`,
    );
  }
  const chunks = quantizer.kind === "static" ? quantizer.chunks : 1;
  const hasOffset = input.offsets.includes(weight.name);
  if (op.bias !== undefined && !hasOffset) {
    throw new FormatError(`${path}: has a bias, expected it among the offsets - the recipe is damaged`);
  }
  return {
    kind: "tenderLinear",
    x: op.x,
    codes: { ...weight, tensor: names.codes },
    codeBits: input.codeBits,
    scales: expectVector(names.scales, weight.rows, tensors, path),
    offset: hasOffset ? expectVector(names.offset, chunks * weight.rows, tensors, path) : undefined,
    quantizer,
    out: op.out,
  };
}
