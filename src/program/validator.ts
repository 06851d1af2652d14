/**
 * Checks a program before anything runs it: every buffer is written before it is read, shapes agree, a name
 * means one thing, in-place use only where the op allows it. Programs come from our own builders and
 * rewrites, so a failure is a bug of ours and throws a plain Error that names the op.
 */
import { ChoiceTracker } from "./choice-tracker.ts";
import { checkColumnOp, type Selection } from "./column-ops.ts";
import { buffersRead, buffersWritten, cacheOf, weightsOf } from "./dataflow.ts";
import type { Buffer, LinearOp, Op, Program } from "./program.ts";
import { describeOp } from "./printer.ts";
import { expectEqual, type Fail } from "./shape-checks.ts";
import { checkAttentionCodes } from "./tender-attention.ts";
import { checkTenderLinear } from "./tender-linear.ts";

/** Throws Error on the first violation; returns the program for chaining. */
export function validateProgram(program: Program): Program {
  const names = new NameTable();
  const written = new Set<string>();
  const stored = new Set<string>();
  const choices = new ChoiceTracker();
  program.ops.forEach((op, index) => {
    const fail: Fail = (problem) => {
      throw new Error(`program ${program.name}: op ${index} (${describeOp(op)}): ${problem}`);
    };
    for (const buffer of buffersRead(op)) {
      if (!written.has(buffer.name)) fail(`buffer ${buffer.name} is read before it is written`);
      names.check(`buffer ${buffer.name}`, buffer, fail);
    }
    checkShapes(op, fail);
    checkAliases(op, fail);
    for (const weight of weightsOf(op)) names.check(`weight ${weight.name}`, weight, fail);
    const cache = cacheOf(op);
    if (cache !== undefined) {
      names.check(`cache ${cache.name}`, cache, fail);
      if (op.kind === "storeKeyValue") stored.add(cache.name);
      else if (!stored.has(cache.name)) fail(`cache ${cache.name} is attended to before it is stored`);
    }
    const selection = selectionOf(op);
    if (selection !== undefined) names.check(`selection ${selection.name}`, selection, fail);
    choices.check(op, fail);
    for (const out of buffersWritten(op)) {
      names.check(`buffer ${out.name}`, out, fail);
      written.add(out.name);
    }
    choices.advance(op);
  });
  checkLogits(program);
  return program;
}

/** The choice that an op makes or uses. */
function selectionOf(op: Op): Selection | undefined {
  if (op.kind === "selectColumns") return op.out;
  return op.kind === "linearColumns" || op.kind === "linearRows" ? op.selection : undefined;
}

/** One name, one meaning: the first use fixes the shape, later uses must repeat it. */
class NameTable {
  readonly #known = new Map<string, string>();

  check(name: string, meaning: object, fail: Fail): void {
    const text = JSON.stringify(Object.entries(meaning).sort(([a], [b]) => (a < b ? -1 : 1)));
    const known = this.#known.get(name);
    if (known !== undefined && known !== text) {
      fail(`${name} means two things, expected ${known}, got ${text}`);
    }
    this.#known.set(name, text);
  }
}

function checkLogits(program: Program): void {
  const last = program.ops.at(-1);
  const out = last === undefined ? undefined : buffersWritten(last)[0];
  const { logits } = program;
  if (out?.name !== logits.name || logits.rows !== "outputs" || logits.width !== program.vocabularySize) {
    throw new Error(
      `program ${program.name}: logits, expected the last op's result [outputs, ${program.vocabularySize}], got ${logits.name} [${logits.rows}, ${logits.width}]`,
    );
  }
}

function expectSameShape(what: string, got: Buffer, expected: Buffer, fail: Fail): void {
  expectEqual(`${what} width`, got.width, expected.width, fail);
  expectEqual(`${what} rows`, got.rows, expected.rows, fail);
}

function checkLinear({ x, weight, bias, out }: LinearOp, fail: Fail): void {
  expectEqual("x width", x.width, weight.columns, fail);
  expectEqual("out width", out.width, weight.rows, fail);
  expectEqual("out rows", out.rows, x.rows, fail);
  if (bias === undefined) return;
  expectEqual("bias rows", bias.rows, 1, fail);
  expectEqual("bias columns", bias.columns, weight.rows, fail);
}

function checkShapes(op: Op, fail: Fail): void {
  switch (op.kind) {
    case "selectColumns":
    case "linearColumns":
    case "linearRows":
      checkColumnOp(op, fail);
      return;
    case "embed":
      expectEqual("out width", op.out.width, op.table.columns, fail);
      expectEqual("out rows", op.out.rows, "tokens", fail);
      return;
    case "rmsNorm":
      expectSameShape("out", op.out, op.x, fail);
      expectEqual("weight rows", op.weight.rows, 1, fail);
      expectEqual("weight columns", op.weight.columns, op.x.width / op.groups, fail);
      return;
    case "linear":
      checkLinear(op, fail);
      return;
    case "tenderLinear":
      checkTenderLinear(op, fail);
      return;
    case "rope":
      expectEqual("x width", op.x.width, op.heads * op.headWidth, fail);
      expectEqual("x rows", op.x.rows, "tokens", fail);
      if (op.table.inverseFrequencies.length * 2 > op.headWidth) {
        fail(`table rotates ${op.table.inverseFrequencies.length * 2} elements of a head of ${op.headWidth}`);
      }
      return;
    case "storeKeyValue":
      expectEqual("key width", op.key.width, op.cache.kvHeads * op.cache.headWidth, fail);
      expectSameShape("value", op.value, op.key, fail);
      expectEqual("key rows", op.key.rows, "tokens", fail);
      return;
    case "attention":
      expectEqual("query width", op.query.width, op.heads * op.cache.headWidth, fail);
      expectSameShape("out", op.out, op.query, fail);
      expectEqual("query rows", op.query.rows, "tokens", fail);
      expectEqual("heads modulo kvHeads", op.heads % op.cache.kvHeads, 0, fail);
      checkAttentionCodes(op, fail);
      return;
    case "glu":
      expectSameShape("up", op.up, op.gate, fail);
      expectSameShape("out", op.out, op.gate, fail);
      return;
    case "add":
      expectSameShape("b", op.b, op.a, fail);
      expectSameShape("out", op.out, op.a, fail);
      return;
    case "activate":
    case "scale":
      expectSameShape("out", op.out, op.x, fail);
      return;
    case "selectOutputs":
      expectEqual("out width", op.out.width, op.x.width, fail);
      expectEqual("x rows", op.x.rows, "tokens", fail);
      expectEqual("out rows", op.out.rows, "outputs", fail);
      return;
  }
}

/** Ops whose result may be one of their inputs; all others must write elsewhere. */
function checkAliases(op: Op, fail: Fail): void {
  const written = buffersWritten(op).map(({ name }) => name);
  const inPlaceAllowed: readonly Buffer[] =
    op.kind === "rope" || op.kind === "rmsNorm" || op.kind === "scale"
      ? [op.x]
      : op.kind === "glu"
        ? [op.gate, op.up]
        : op.kind === "add"
          ? [op.a]
          : [];
  for (const buffer of buffersRead(op)) {
    if (written.includes(buffer.name) && !inPlaceAllowed.some((allowed) => allowed.name === buffer.name)) {
      fail(`reads and writes ${buffer.name}, which this op does not allow`);
    }
  }
}
