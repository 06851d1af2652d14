/**
 * Another measure of how much a layer does, for comparison: block influence (ShortGPT, Men et al., arXiv 2403.03853), which
 * compares what goes into a layer with what comes out.
 */

/** Cosine of each token's input x and output y [T, width], one value per token. */
export function cosines(x: Float32Array, y: Float32Array, width: number): Float64Array {
  return Float64Array.from({ length: x.length / width }, (_, row) => {
    let [dot, xx, yy] = [0, 0, 0];
    for (let i = row * width; i < (row + 1) * width; i++) {
      dot += x[i] * y[i];
      xx += x[i] * x[i];
      yy += y[i] * y[i];
    }
    return dot / Math.sqrt(xx * yy);
  });
}

/** 1 - mean cosine: 0 for a layer that changes no direction. The lowest goes first. */
export function blockInfluence(cosine: Float64Array): number {
  return 1 - cosine.reduce((sum, value) => sum + value, 0) / cosine.length;
}
