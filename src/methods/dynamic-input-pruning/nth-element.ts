/**
 * The n-th smallest of some numbers in linear expected time: Hoare's quickselect with the middle of three as pivot.
 * Selection and eviction both need a threshold per layer and token, so nothing is allocated and equal values (zeros
 * of dead units are common) split evenly instead of degrading to quadratic time.
 */

/**
 * The value that would stand at index n if values[0 .. count) were sorted ascending; reorders that range.
 * Invariant: 0 <= n < count, no NaN.
 */
export function nthSmallest(values: Float32Array | Float64Array, count: number, n: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const pivot = medianOfThree(values[low], values[(low + high) >>> 1], values[high]);
    let left = low;
    let right = high;
    while (left <= right) {
      while (values[left] < pivot) left++;
      while (values[right] > pivot) right--;
      if (left <= right) {
        const swapped = values[left];
        values[left++] = values[right];
        values[right--] = swapped;
      }
    }
    // now [low, right] <= pivot <= [left, high], and what lies between equals the pivot
    if (n <= right) high = right;
    else if (n >= left) low = left;
    else return pivot;
  }
  return values[low];
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
