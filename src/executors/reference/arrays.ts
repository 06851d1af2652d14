/** The arrays in which the reference executor computes: all f32, for buffers and for caches of keys and values. */
import { ResourceError } from "../../errors.ts";
import type { CacheArrays } from "../../kernels/store-key-value/reference.ts";
import type { KeyValueCache } from "../../program/program.ts";
import type { ExecutorLimits } from "../executor.ts";

/** A zeroed f32 array; memory exhaustion becomes a ResourceError that says what for. */
export function allocate(length: number, what: string): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(length);
  } catch (error) {
    throw new ResourceError(`${what}: cannot allocate ${length * 4} bytes - use a smaller model or context`, {
      cause: error,
    });
  }
}

export function allocateCache(cache: KeyValueCache, limits: ExecutorLimits): CacheArrays {
  const width = cache.kvHeads * cache.headWidth;
  const length = limits.slots * limits.contextLength * width;
  return {
    keys: allocate(length, `cache ${cache.name}`),
    values: allocate(length, `cache ${cache.name}`),
    contextLength: limits.contextLength,
    width,
    headWidth: cache.headWidth,
  };
}
