/**
 * The matmuls of one transformer layer: x [rows, inner] times w [inner, columns]. The head is left out, as
 * Tender leaves it unquantized; attention's two matmuls are optional, as they are in the paper.
 */
import type { TransformerShape } from "../model-shapes.ts";

export interface Matmul {
  readonly name: string;
  /** M */
  readonly rows: number;
  /** K, the reduction */
  readonly inner: number;
  /** N */
  readonly columns: number;
  /** How many of these one layer has. */
  readonly count: number;
  /** The right operand is a weight with output scales, not keys or values. */
  readonly weights: boolean;
}

export interface LayerWork {
  readonly matmuls: readonly Matmul[];
  /** Float operations of norms, activation, residuals and softmax. */
  readonly elementwiseOps: number;
}

/**
 * Assumed operations per element, the same for every design: square-sum-scale-multiply,
 * exp-add-divide-multiply ...
 */
const NORM_OPS = 4;
const ACTIVATION_OPS = 4;
const SOFTMAX_OPS = 4;

/**
 * @param rows tokens that run together: a prompt, or 1 in decode
 * @param attended positions each token sees, or undefined to leave attention's matmuls out;
 *   no causal saving is taken
 */
export function layerWork(shape: TransformerShape, rows: number, attended: number | undefined): LayerWork {
  const { width, feedForwardWidth, heads, kvHeads, headWidth, gated } = shape;
  const linear = (name: string, inner: number, columns: number, count = 1): Matmul => ({
    name,
    rows,
    inner,
    columns,
    count,
    weights: true,
  });
  const matmuls = [
    linear("query", width, heads * headWidth),
    linear("output", heads * headWidth, width),
    linear("key, value", width, kvHeads * headWidth, 2),
    ...(gated
      ? [linear("gate, up", width, feedForwardWidth, 2), linear("down", feedForwardWidth, width)]
      : [linear("fc1", width, feedForwardWidth), linear("fc2", feedForwardWidth, width)]),
  ];
  // two norms and residuals, one activation (and the product with up)
  let elementwiseOps =
    rows * (2 * (NORM_OPS + 1) * width + (ACTIVATION_OPS + (gated ? 1 : 0)) * feedForwardWidth);
  if (attended !== undefined) {
    // Heads that share keys and values run as more rows of one matmul.
    const shared = { rows: (rows * heads) / kvHeads, count: kvHeads, weights: false };
    matmuls.push({ name: "scores", inner: headWidth, columns: attended, ...shared });
    matmuls.push({ name: "weighted values", inner: attended, columns: headWidth, ...shared });
    elementwiseOps += rows * heads * attended * SOFTMAX_OPS;
  }
  return { matmuls, elementwiseOps };
}
