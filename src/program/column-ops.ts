/**
 * The ops of methods that skip weight columns and rows, and what the program tools have to know about them:
 * choose columns of a linear's input, then multiply with the chosen columns only; choose live neurons by
 * their gates, then compute only their rows and use only their columns. Source: Dynamic Input Pruning
 * (Federici et al., arXiv 2412.01380), sections on the pruned MLP; thresholds as in CATS (2404.08763) and
 * TEAL (2408.14690); live neurons as in ProSparse (2402.13516).
 *
 * The rule of sparsity: steps of one generated token choose; all other steps (prompts, several tokens at
 * once) use every column, and their selections are never computed. Both read the same stored weights.
 */
import { shapedBuffer, shapedWeight, shortNumber } from "./op-text.ts";
import type { Buffer, Program, Weight } from "./program.ts";
import { expectEqual, type Fail } from "./shape-checks.ts";

export type SelectionRule =
  /** The `count` largest |x|; ties go to the lower index. */
  | { readonly kind: "topK"; readonly count: number }
  /**
   * |x| >= threshold, compared in f32. `share` is the share of them that was measured, for counting bytes.
   */
  | { readonly kind: "threshold"; readonly threshold: number; readonly share?: number }
  /**
   * Gates that ReLU (threshold 0: x > 0) or FATReLU (x >= threshold) lets through, and NaN, compared in f32.
   * `share` is the share of them that was measured, for counting bytes.
   */
  | { readonly kind: "gate"; readonly threshold: number; readonly share: number };

/** Columns chosen for the current token: indices into a buffer of `width` values, ascending. */
export interface Selection {
  readonly name: string;
  readonly width: number;
  readonly rule: SelectionRule;
  /** An earlier choice within which this one chooses: what it left out may not even have been computed. */
  readonly among?: Selection;
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
 * out[n] = bias[n] + sum over chosen k of x[k] * weight[n, k], for each part. Parts share the selection
 * and lie together in memory, column by column, so that one chosen index is one run of memory (gate and
 * up of a gated unit).
 */
export interface LinearColumnsOp {
  readonly kind: "linearColumns";
  readonly x: Buffer;
  readonly selection: Selection;
  /** One or two. */
  readonly parts: readonly ColumnPart[];
}

/**
 * out[n] = sum over k of x[k] * weight[n, k] for chosen rows n; the others are not computed and nobody may
 * read them. With several tokens all rows are computed.
 */
export interface LinearRowsOp {
  readonly kind: "linearRows";
  readonly x: Buffer;
  readonly selection: Selection;
  /** [selection width, x width] */
  readonly weight: Weight;
  readonly out: Buffer;
}

export type ColumnOp = SelectColumnsOp | LinearColumnsOp | LinearRowsOp;

/** Share of the columns that a token reads; thresholds whose share nobody has measured count as all. */
export function selectedShare({ rule, width, among }: Selection): number {
  const own = rule.kind === "topK" ? rule.count / width : (rule.share ?? 1);
  return among === undefined ? own : Math.min(own, selectedShare(among));
}

/** The ops of a program that read chosen columns. */
export function linearColumnsOps({ ops }: Pick<Program, "ops">): readonly LinearColumnsOp[] {
  return ops.filter((op) => op.kind === "linearColumns");
}

export function columnWeights(op: ColumnOp): readonly Weight[] {
  if (op.kind === "selectColumns") return [];
  if (op.kind === "linearRows") return [op.weight];
  return op.parts.flatMap(({ weight, bias }) => (bias === undefined ? [weight] : [weight, bias]));
}

/** One op on one line, after `printer.ts`'s pattern. */
export function describeColumnOp(op: ColumnOp): string {
  if (op.kind === "selectColumns") {
    const { out, x } = op;
    const among = out.among === undefined ? "" : ` among ${out.among.name}`;
    return `${out.name} = selectColumns(${x.name}, ${describeRule(out.rule)} of ${out.width}${among})`;
  }
  if (op.kind === "linearRows") {
    const { out, x, selection, weight } = op;
    return `${shapedBuffer(out)} = linearRows(${x.name}, ${selection.name}, ${shapedWeight(weight)})`;
  }
  const outs = op.parts.map(({ out }) => shapedBuffer(out));
  const weights = op.parts.map(
    ({ weight, bias }) => `${shapedWeight(weight)}${bias === undefined ? "" : ` bias ${bias.name}`}`,
  );
  return `${outs.join(", ")} = linearColumns(${op.x.name}, ${op.selection.name}, ${weights.join(", ")})`;
}

function describeRule(rule: SelectionRule): string {
  if (rule.kind === "topK") return `top ${rule.count}`;
  const threshold = shortNumber(rule.threshold);
  if (rule.kind === "threshold") return `|x| >= ${threshold}`;
  return threshold === 0 ? "x > 0" : `x >= ${threshold}`;
}

/** Reports the first relation between the op's shapes that does not hold. */
export function checkColumnOp(op: ColumnOp, fail: Fail): void {
  expectEqual("x rows", op.x.rows, "tokens", fail);
  if (op.kind === "selectColumns") {
    expectEqual("selection width", op.out.width, op.x.width, fail);
    const { rule, among } = op.out;
    if (among !== undefined) {
      expectEqual("width of the earlier choice", among.width, op.x.width, fail);
      if (rule.kind === "gate") fail("chooses gates among chosen ones, which nothing needs");
    }
    const valid =
      rule.kind === "topK"
        ? Number.isInteger(rule.count) && rule.count >= 0 && rule.count <= op.x.width
        : rule.threshold >= 0;
    if (!valid) fail(`rule ${JSON.stringify(rule)} chooses nothing that exists`);
    return;
  }
  if (op.kind === "linearRows") {
    expectEqual("selection width", op.selection.width, op.weight.rows, fail);
    expectEqual("weight columns", op.weight.columns, op.x.width, fail);
    expectEqual("out width", op.out.width, op.weight.rows, fail);
    expectEqual("out rows", op.out.rows, "tokens", fail);
    return;
  }
  if (op.parts.length < 1 || op.parts.length > 2) fail(`${op.parts.length} parts, expected 1 or 2`);
  expectEqual("selection width", op.selection.width, op.x.width, fail);
  for (const { weight, bias, out } of op.parts) {
    expectEqual("weight columns", weight.columns, op.x.width, fail);
    expectEqual("weight rows", weight.rows, op.parts[0].weight.rows, fail);
    expectEqual("out width", out.width, weight.rows, fail);
    expectEqual("out rows", out.rows, "tokens", fail);
    if (bias !== undefined) expectEqual("bias columns", bias.columns, weight.rows, fail);
  }
}
