/**
 * Text form of a program, one op per line with its shapes: `normed[T,64] = rmsNorm(hidden, layers.0.attention.norm)`.
 * Used by `inspect` and in the messages of the validator. T stands for the tokens of a step, R for its output rows.
 */
import { describeAttentionCodes } from "./tender-attention.ts";
import { describeTenderLinear } from "./tender-linear.ts";
import { describeColumnOp } from "./column-ops.ts";
import type { Activation, Buffer, Op, Program, RotaryTable, Weight } from "./program.ts";

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
      return `${shaped(op.out)} = embed(${matrix(op.table)})${times(op.factor)}`;
    case "rmsNorm":
      return `${shaped(op.out)} = rmsNorm(${op.x.name}, ${op.weight.name}${op.groups > 1 ? `, groups ${op.groups}` : ""}, epsilon ${short(op.epsilon)})`;
    case "linear":
      return `${shaped(op.out)} = linear(${op.x.name}, ${matrix(op.weight)}${op.bias === undefined ? "" : `, bias ${op.bias.name}`})`;
    case "tenderLinear":
      return `${shaped(op.out)} = ${describeTenderLinear(op)}`;
    case "rope":
      return `${shaped(op.x)} = rope(${op.x.name}, heads ${op.heads}, ${rotary(op.table)})`;
    case "storeKeyValue":
      return `${op.cache.name} = storeKeyValue(${op.key.name}, ${op.value.name})`;
    case "attention":
      return `${shaped(op.out)} = attention(${op.query.name}, ${op.cache.name}, heads ${op.heads}/${op.cache.kvHeads} x ${op.cache.headWidth}${op.window === undefined ? "" : `, window ${op.window}`}${describeAttentionCodes(op)})`;
    case "glu":
      return `${shaped(op.out)} = ${activationName(op.activation)}(${op.gate.name}) * ${op.up.name}`;
    case "activate":
      return `${shaped(op.out)} = ${activationName(op.activation)}(${op.x.name})`;
    case "add":
      return `${shaped(op.out)} = ${op.a.name} + ${op.b.name}${times(op.factor)}`;
    case "scale":
      return `${shaped(op.out)} = ${op.x.name}${times(op.factor)}`;
    case "selectOutputs":
      return `${shaped(op.out)} = selectOutputs(${op.x.name})`;
  }
}

export function activationName(activation: Activation): string {
  return activation.kind === "fatrelu" ? `fatrelu[${activation.threshold}]` : activation.kind;
}

function shaped(buffer: Buffer): string {
  return `${buffer.name}[${buffer.rows === "tokens" ? "T" : "R"},${buffer.width}]`;
}

function matrix(weight: Weight): string {
  return `${weight.name}[${weight.rows},${weight.columns}]`;
}

function rotary(table: RotaryTable): string {
  const magnitude = table.magnitude === 1 ? "" : `, magnitude ${short(table.magnitude)}`;
  return `${table.name} ${table.pairing} ${2 * table.inverseFrequencies.length}${magnitude}`;
}

function times(factor: number): string {
  return factor === 1 ? "" : ` * ${short(factor)}`;
}

/** Six digits: files hold f32, whose exact decimal form is noise. */
function short(value: number): number {
  return Number(value.toPrecision(6));
}
