/**
 * Text form of a program, one op per line with its shapes: `normed[T,64] = rmsNorm(hidden,
 * layers.0.attention.norm)`. `inspect` lists ops in it, the validator names them by it, tests compare
 * whole programs in it.
 */
import { describeColumnOp } from "./column-ops.ts";
import { shapedBuffer, shapedWeight, shortNumber } from "./op-text.ts";
import type { Activation, Op, Program, RotaryTable } from "./program.ts";
import { describeAttentionCodes } from "./tender-attention.ts";
import { describeTenderLinear } from "./tender-linear.ts";

/** The program's head line and its numbered ops. */
export function printProgram(program: Program): string {
  const digits = String(program.ops.length - 1).length;
  const lines = program.ops.map((op, index) => `${String(index).padStart(digits)}  ${describeOp(op)}`);
  const title = `program ${program.name}: ${program.ops.length} ops, vocabulary ${program.vocabularySize}, context ${program.contextLength}`;
  return [title, ...lines].join("\n");
}

/** One op on one line. */
export function describeOp(op: Op): string {
  switch (op.kind) {
    case "selectColumns":
    case "linearColumns":
    case "linearRows":
      return describeColumnOp(op);
    case "embed":
      return `${shapedBuffer(op.out)} = embed(${shapedWeight(op.table)})${times(op.factor)}`;
    case "rmsNorm":
      return `${shapedBuffer(op.out)} = rmsNorm(${op.x.name}, ${op.weight.name}${op.groups > 1 ? `, groups ${op.groups}` : ""}, epsilon ${shortNumber(op.epsilon)})`;
    case "linear":
      return `${shapedBuffer(op.out)} = linear(${op.x.name}, ${shapedWeight(op.weight)}${op.bias === undefined ? "" : `, bias ${op.bias.name}`})`;
    case "tenderLinear":
      return `${shapedBuffer(op.out)} = ${describeTenderLinear(op)}`;
    case "rope":
      return `${shapedBuffer(op.x)} = rope(${op.x.name}, heads ${op.heads}, ${rotary(op.table)})`;
    case "storeKeyValue":
      return `${op.cache.name} = storeKeyValue(${op.key.name}, ${op.value.name})`;
    case "attention":
      return `${shapedBuffer(op.out)} = attention(${op.query.name}, ${op.cache.name}, heads ${op.heads}/${op.cache.kvHeads} x ${op.cache.headWidth}${op.window === undefined ? "" : `, window ${op.window}`}${describeAttentionCodes(op)})`;
    case "glu":
      return `${shapedBuffer(op.out)} = ${activationName(op.activation)}(${op.gate.name}) * ${op.up.name}`;
    case "activate":
      return `${shapedBuffer(op.out)} = ${activationName(op.activation)}(${op.x.name})`;
    case "add":
      return `${shapedBuffer(op.out)} = ${op.a.name} + ${op.b.name}${times(op.factor)}`;
    case "scale":
      return `${shapedBuffer(op.out)} = ${op.x.name}${times(op.factor)}`;
    case "selectOutputs":
      return `${shapedBuffer(op.out)} = selectOutputs(${op.x.name})`;
  }
}

function activationName(activation: Activation): string {
  return activation.kind === "fatrelu" ? `fatrelu[${activation.threshold}]` : activation.kind;
}

function rotary(table: RotaryTable): string {
  const magnitude = table.magnitude === 1 ? "" : `, magnitude ${shortNumber(table.magnitude)}`;
  return `${table.name} ${table.pairing} ${2 * table.inverseFrequencies.length}${magnitude}`;
}

function times(factor: number): string {
  return factor === 1 ? "" : ` * ${shortNumber(factor)}`;
}
