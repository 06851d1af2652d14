/**
 * The ops of methods that skip weight columns, and what the program tools have to know about them: choose columns of a
 * linear's input by magnitude, then multiply with the chosen columns only. Source: Dynamic Input Pruning (Federici et
 * al., arXiv 2412.01380), sections on the pruned MLP; thresholds as in CATS (2404.08763) and TEAL (2408.14690).
 *
 * The rule of sparsity: steps of one generated token choose; all other steps (prompts, several tokens at once) use
 * every column, and their selections are never computed. Both read the same stored weights.
 */
import type { Buffer, Weight } from "./program.ts";

export type SelectionRule =
  /** The `count` largest |x|; ties go to the lower index. */
  | { readonly kind: "topK"; readonly count: number }
  /** |x| >= threshold, compared in f32. */
  | { readonly kind: "threshold"; readonly threshold: number };

/** Columns chosen for the current token: indices into a buffer of `width` values, ascending. */
export interface Selection {
  readonly name: string;
  readonly width: number;
  readonly rule: SelectionRule;
}

/** out = the columns of x [1, width] that the selection's rule chooses. */
export interface SelectColumnsOp {
  readonly kind: "selectColumns";
  readonly x: Buffer;
  readonly out: Selection;
}

/** A matrix that is read by columns, its bias, and where its product goes. */
export interface ColumnPart {
  /** [rows, columns]; the parts of an op have equal shapes. */
  readonly weight: Weight;
  readonly bias: Weight | undefined;
  /** [T, rows] */
  readonly out: Buffer;
}

/**
 * out[n] = bias[n] + sum over chosen k of x[k] * weight[n, k], for each part. Parts share the selection and lie
 * together in memory, column by column, so that one chosen index is one run of memory (gate and up of a gated unit).
 */
export interface LinearColumnsOp {
  readonly kind: "linearColumns";
  readonly x: Buffer;
  readonly selection: Selection;
  /** One or two. */
  readonly parts: readonly ColumnPart[];
}

export type ColumnOp = SelectColumnsOp | LinearColumnsOp;

/** Share of the columns that a token reads; thresholds read a share that is only known afterwards, counted as all. */
export function selectedShare({ rule, width }: Selection): number {
  return rule.kind === "topK" ? rule.count / width : 1;
}

export function columnWeights(op: ColumnOp): readonly Weight[] {
  if (op.kind === "selectColumns") return [];
  return op.parts.flatMap(({ weight, bias }) => (bias === undefined ? [weight] : [weight, bias]));
}

/** One op on one line, after `printer.ts`'s pattern. */
export function describeColumnOp(op: ColumnOp): string {
  if (op.kind === "selectColumns") {
    const { out, x } = op;
    const { rule } = out;
    const chosen =
      rule.kind === "topK" ? `top ${rule.count}` : `|x| >= ${Number(rule.threshold.toPrecision(6))}`;
    return `${out.name} = selectColumns(${x.name}, ${chosen} of ${out.width})`;
  }
  const outs = op.parts.map(({ out }) => `${out.name}[${out.rows === "tokens" ? "T" : "R"},${out.width}]`);
  const weights = op.parts.map(
    ({ weight, bias }) =>
      `${weight.name}[${weight.rows},${weight.columns}]${bias === undefined ? "" : ` bias ${bias.name}`}`,
  );
  return `${outs.join(", ")} = linearColumns(${op.x.name}, ${op.selection.name}, ${weights.join(", ")})`;
}

type Fail = (problem: string) => never;

/** Shape rules; `expectEqual` is the validator's. */
export function checkColumnOp(
  op: ColumnOp,
  expectEqual: (what: string, got: number | string, expected: number | string, fail: Fail) => void,
  fail: Fail,
): void {
  expectEqual("x rows", op.x.rows, "tokens", fail);
  if (op.kind === "selectColumns") {
    expectEqual("selection width", op.out.width, op.x.width, fail);
    const { rule } = op.out;
    const valid =
      rule.kind === "topK"
        ? Number.isInteger(rule.count) && rule.count >= 0 && rule.count <= op.x.width
        : rule.threshold >= 0;
    if (!valid) fail(`rule ${JSON.stringify(rule)} chooses nothing that exists`);
    return;
  }
  if (op.parts.length < 1 || op.parts.length > 2) fail(`${op.parts.length} parts, expected 1 or 2`);
  expectEqual("selection width", op.selection.width, op.x.width, fail);
  for (const { weight, bias, out } of op.parts) {
    expectEqual("weight columns", weight.columns, op.x.width, fail);
    expectEqual("weight rows", weight.rows, op.parts[0].weight.rows, fail);
    expectEqual("out width", out.width, weight.rows, fail);
    expectEqual("out rows", out.rows, "tokens", fail);
    if (out.name === op.x.name) fail(`reads and writes ${out.name}, which this op does not allow`);
    if (bias !== undefined) expectEqual("bias columns", bias.columns, weight.rows, fail);
  }
}
