/**
 * The case table of training ops: one op per row, on shapes with odd tails, single rows and columns, empty selections,
 * reductions longer than a block, sequences of one token, windows, large and vanishing values.
 */
import type { Interval } from "../../src/program/intervals.ts";
import type { SelectionRule } from "../../src/program/column-ops.ts";
import type { Activation, Buffer, Weight } from "../../src/program/program.ts";
import type { TrainingOp } from "../../src/program/training-ops.ts";

export interface TrainingCase {
  readonly name: string;
  readonly op: TrainingOp;
  /** Lengths of the sequences of the micro-batch. */
  readonly lengths: readonly number[];
  /** What the row of a position sees; undefined where rows see all before them. */
  readonly visible?: (position: number) => readonly Interval[] | undefined;
  /** Rows with targets. */
  readonly outputs: readonly number[];
  /** Largest error relative to a result's largest value. */
  readonly bound: number;
  /** Size of the inputs, 1 where it does not matter. */
  readonly size: number;
}

const tokens = (name: string, width: number): Buffer => ({ name, width, rows: "tokens" });
const outputs = (name: string, width: number): Buffer => ({ name, width, rows: "outputs" });
const matrix = (name: string, rows: number, columns: number): Weight => ({
  name,
  rows,
  columns,
  tensor: name,
  firstRow: 0,
});

function row(name: string, op: TrainingOp, rest: Partial<TrainingCase> = {}): TrainingCase {
  const lengths = rest.lengths ?? [5, 1, 3];
  const picked = rest.outputs ?? [0, 2, 3, 8];
  return { bound: 1e-5, size: 1, ...rest, name: `${op.kind} ${name}`, op, lengths, outputs: picked };
}

export function trainingCases(): readonly TrainingCase[] {
  return [
    ...productCases(),
    ...rowCases(),
    ...attentionCases(),
    ...lossCases(),
    ...gateCases(),
    ...choiceCases(),
  ];
}

/** rows x columns x outputs of a linear op and its two gradients. */
const PRODUCTS: readonly (readonly [rows: number, columns: number, outputs: number])[] = [
  [9, 7, 5],
  [1, 1, 1],
  [3, 600, 9],
  [4, 8, 8],
  [65, 33, 258],
  [300, 12, 20],
];

function productCases(): readonly TrainingCase[] {
  return PRODUCTS.flatMap(([rows, columns, n]) => {
    const name = `${rows} x ${columns} x ${n}`;
    const lengths = { lengths: [rows], outputs: [0] };
    const weight = matrix("w", n, columns);
    const [x, y] = [tokens("x", columns), tokens("y", n)];
    const toInput = (accumulate: boolean): TrainingOp => ({
      kind: "linearInputGradient",
      gradient: y,
      weight,
      out: x,
      accumulate,
    });
    return [
      row(name, { kind: "linear", x, weight, bias: undefined, out: y }, lengths),
      row(`${name}, bias`, { kind: "linear", x, weight, bias: matrix("b", 1, n), out: y }, lengths),
      row(name, toInput(false), lengths),
      row(`${name}, accumulate`, toInput(true), lengths),
      row(name, { kind: "linearWeightGradient", gradient: y, x, weight }, lengths),
      row(name, { kind: "biasGradient", gradient: y, bias: matrix("b", 1, n) }, lengths),
    ];
  });
}

function rowCases(): readonly TrainingCase[] {
  const rotary = (pairs: number, pairing: "halves" | "interleaved") => ({
    name: "rotary",
    inverseFrequencies: Array.from({ length: pairs }, (_, i) => 0.5 ** i),
    magnitude: 1.1,
    pairing,
  });
  const rotate = (pairing: "halves" | "interleaved", inverse: boolean): TrainingOp => ({
    kind: "rotate",
    x: tokens("x", 33),
    out: tokens("y", 33),
    heads: 3,
    headWidth: 11,
    table: rotary(5, pairing),
    inverse,
  });
  const table = matrix("table", 13, 9);
  return [
    row("width 9", { kind: "embed", table, out: tokens("y", 9), factor: 1.5 }),
    row("width 9, repeated tokens", { kind: "embedGradient", gradient: tokens("y", 9), table, factor: 1.5 }),
    row("halves", rotate("halves", false)),
    row("halves, inverse", rotate("halves", true)),
    row("interleaved", rotate("interleaved", false)),
    row("interleaved, inverse", rotate("interleaved", true)),
    row("width 13", {
      kind: "add",
      a: tokens("a", 13),
      b: tokens("b", 13),
      out: tokens("y", 13),
      factor: -0.3,
    }),
    row("in place", { kind: "add", a: tokens("y", 13), b: tokens("b", 13), out: tokens("y", 13), factor: 1 }),
    row("width 13", { kind: "scale", x: tokens("x", 13), out: tokens("y", 13), factor: 0.7 }),
    row("width 13", { kind: "selectOutputs", x: tokens("x", 13), out: outputs("y", 13) }),
    row("width 13", { kind: "scatterOutputs", gradient: outputs("y", 13), out: tokens("x", 13) }),
    row(
      "all",
      { kind: "scatterOutputs", gradient: outputs("y", 3), out: tokens("x", 3) },
      {
        lengths: [4],
        outputs: [0, 1, 2, 3],
      },
    ),
    row(
      "none",
      { kind: "scatterOutputs", gradient: outputs("y", 13), out: tokens("x", 13) },
      { outputs: [] },
    ),
    ...[1, 3].flatMap((groups) => normCases(21, groups)),
    ...normCases(64, 2),
    ...normCases(1, 1),
  ];
}

function normCases(width: number, groups: number): readonly TrainingCase[] {
  const weight = matrix("w", 1, width / groups);
  const [x, y, gradient] = ["x", "y", "dy"].map((name) => tokens(name, width));
  const facts = { x, weight, epsilon: 1e-5, groups };
  const name = `width ${width} / ${groups}`;
  const bound = width === 1 ? 1e-4 : 1e-5; // dx of a lone value is all cancellation
  return [
    row(name, { kind: "rmsNorm", ...facts, out: y }),
    row(name, { kind: "rmsNormInputGradient", ...facts, gradient, out: y, accumulate: false }, { bound }),
    row(`${name}, accumulate`, {
      kind: "rmsNormInputGradient",
      ...facts,
      gradient,
      out: y,
      accumulate: true,
    }),
    row(name, { kind: "rmsNormWeightGradient", ...facts, gradient }),
  ];
}

function attentionCases(): readonly TrainingCase[] {
  const shapes: readonly (readonly [
    string,
    number,
    number,
    number,
    number | undefined,
    readonly number[],
  ])[] = [
    ["one token", 1, 1, 1, undefined, [1]],
    ["grouped heads of 6", 4, 2, 6, undefined, [5, 1, 17]],
    ["heads of 32 over a query block", 2, 1, 32, undefined, [131, 64]],
    ["window 3", 2, 2, 5, 3, [23, 2]],
    ["window over a query block", 1, 1, 8, 70, [150]],
    ["window 1", 1, 1, 4, 1, [9]],
  ];
  return shapes.flatMap(([name, heads, kvHeads, headWidth, window, lengths]) => {
    const facts = { heads, kvHeads, headWidth, scale: headWidth ** -0.5, window };
    const [wide, narrow] = [heads * headWidth, kvHeads * headWidth];
    const inputs = { query: tokens("q", wide), key: tokens("k", narrow), value: tokens("v", narrow) };
    const [attended, logSumExp] = [tokens("o", wide), tokens("l", heads)];
    const gradients = {
      gradient: tokens("do", wide),
      queryGradient: tokens("dq", wide),
      keyGradient: tokens("dk", narrow),
      valueGradient: tokens("dv", narrow),
    };
    // With one visible key scores have no gradient: what is left is rounding.
    const rest = { lengths, outputs: [0], bound: window === 1 ? 1e-3 : 3e-5 };
    return [
      row(name, { kind: "sequenceAttention", ...inputs, out: attended, logSumExp, facts }, rest),
      row(
        `${name}, large scores`,
        { kind: "sequenceAttention", ...inputs, out: attended, logSumExp, facts },
        {
          ...rest,
          size: 12,
          bound: Math.max(2e-4, rest.bound),
        },
      ),
      row(name, { kind: "attentionGradient", ...inputs, attended, logSumExp, ...gradients, facts }, rest),
      ...STATED.map(({ what, visible }) =>
        row(
          `${name}, ${what}`,
          { kind: "sequenceAttention", ...inputs, out: attended, logSumExp, facts },
          { ...rest, visible: withinWindow(visible, window) },
        ),
      ),
      ...STATED.map(({ what, visible }) =>
        row(
          `${name}, ${what}`,
          { kind: "attentionGradient", ...inputs, attended, logSumExp, ...gradients, facts },
          {
            ...rest,
            bound: what === "itself" ? 1e-3 : Math.max(rest.bound, 1e-4),
            visible: withinWindow(visible, window),
          },
        ),
      ),
    ];
  });
}

/** What rows may see: little, everything stated, some rows without a statement. */
const STATED: readonly { what: string; visible: (position: number) => readonly Interval[] | undefined }[] = [
  { what: "itself", visible: (t) => [{ start: t, end: t + 1 }] },
  { what: "all stated", visible: (t) => [{ start: 0, end: t + 1 }] },
  {
    what: "sink, a span and its line",
    visible: (t) =>
      t < 12
        ? undefined
        : [
            { start: 0, end: 3 },
            { start: 5, end: 5 + (t % 4) + 1 },
            { start: 10, end: t + 1 },
          ],
  },
];

/** A statement narrows a window, never widens it: rows whose window hides what they state keep the window. */
function withinWindow(
  visible: (position: number) => readonly Interval[] | undefined,
  window: number | undefined,
) {
  return (position: number) =>
    visible(position)?.flatMap(({ start, end }) => {
      const first = Math.max(start, position + 1 - (window ?? Number.POSITIVE_INFINITY));
      return first < end ? [{ start: first, end }] : [];
    });
}

function lossCases(): readonly TrainingCase[] {
  return [1, 3, 8, 301].flatMap((width) => {
    const [logits, teacher, gradient] = ["x", "t", "dx"].map((name) => outputs(name, width));
    const losses = outputs("losses", 1);
    const l1 = {
      kind: "l1Gradient",
      x: tokens("a", width),
      gradient: tokens("da", width),
      sums: tokens("sums", 1),
    } as const;
    return [
      row(`width ${width}`, { kind: "crossEntropy", logits, gradient, losses }),
      row(
        `width ${width}, large`,
        { kind: "crossEntropy", logits, gradient, losses },
        { size: 60, bound: 1e-4 },
      ),
      row(
        `width ${width}`,
        { kind: "distillation", logits, teacher, gradient, losses, temperature: 2.5 },
        {
          bound: 1e-4,
        },
      ),
      row(`width ${width}`, l1),
    ];
  });
}

function gateCases(): readonly TrainingCase[] {
  const activations: readonly Activation[] = [
    { kind: "silu" },
    { kind: "gelu" },
    { kind: "geluTanh" },
    { kind: "relu" },
    { kind: "fatrelu", threshold: 0.5 },
  ];
  return activations.flatMap((activation) =>
    [1, 30].flatMap((size) => {
      const [gate, up, gradient] = ["g", "u", "dy"].map((name) => tokens(name, 13));
      const [gateGradient, upGradient] = [tokens("dg", 13), tokens("du", 13)];
      const name = `${activation.kind}, size ${size}`;
      return [
        row(name, { kind: "activate", x: gate, out: tokens("y", 13), activation }, { size }),
        row(name, { kind: "glu", gate, up, out: tokens("y", 13), activation }, { size }),
        row(
          name,
          { kind: "gluGradient", gate, up, gradient, gateGradient, upGradient, activation },
          { size },
        ),
      ];
    }),
  );
}

/** Choices by x itself and, as gradients are kept, by another buffer. */
function choiceCases(): readonly TrainingCase[] {
  const rules: readonly SelectionRule[] = [
    { kind: "topK", count: 0 },
    { kind: "topK", count: 5 },
    { kind: "topK", count: 13 },
    { kind: "threshold", threshold: 0.8 },
    { kind: "gate", threshold: 0, share: 1 },
    { kind: "gate", threshold: 0.5, share: 1 },
  ];
  const [x, out] = [tokens("x", 13), tokens("y", 13)];
  return rules.flatMap((rule) =>
    [x, tokens("s", 13)].map((by) => {
      const limit = rule.kind === "topK" ? rule.count : rule.threshold;
      return row(`${rule.kind} ${limit} by ${by.name}`, { kind: "keepColumns", x, by, rule, out });
    }),
  );
}
