/**
 * Compiles the kernels: the build with relaxed SIMD where the engine validates it (Node 20 needs a flag
 * for that, which newer versions no longer know), the plain one otherwise. Both give the same integers
 * and the same tokens.
 */
import { UnsupportedError } from "../../errors.ts";
import type { SimdBuild, SimdVariant } from "../../platform/simd-variants.ts";
import type { Platform } from "../../platform/types.ts";

/**
 * A module with one function, `i32x4.relaxed_dot_i8x16_i7x16_add_s` of three zero vectors: what an
 * engine without relaxed SIMD rejects. Hand-assembled from the binary format of the relaxed SIMD
 * proposal (opcode 0x113).
 */
const PROBE = new Uint8Array([
  0x00,
  0x61,
  0x73,
  0x6d,
  1,
  0,
  0,
  0, // magic, version
  1,
  5,
  1,
  0x60,
  0,
  1,
  0x7b, // type: () -> v128
  3,
  2,
  1,
  0, // function 0 has type 0
  10,
  19,
  1,
  17,
  0, // code: one body of 17 bytes, no locals
  0x41,
  0,
  0xfd,
  15,
  0x41,
  0,
  0xfd,
  15,
  0x41,
  0,
  0xfd,
  15, // i32.const 0, i8x16.splat, three times
  0xfd,
  0x93,
  0x02, // the probed instruction
  0x0b,
]);

export interface KernelModule {
  readonly module: WebAssembly.Module;
  readonly variant: SimdVariant;
}

/**
 * Throws UnsupportedError when relaxed SIMD is demanded and missing,
 * ResourceError when the kernels are not built.
 */
export async function compileKernels(platform: Platform, simd: SimdBuild): Promise<KernelModule> {
  const relaxed =
    simd !== "plain" &&
    (WebAssembly.validate(PROBE) || (platform.enableRelaxedSimd() && WebAssembly.validate(PROBE)));
  if (simd === "relaxed" && !relaxed) {
    throw new UnsupportedError(`${platform.runtime}: no relaxed SIMD - use simd "auto" or "plain"`);
  }
  const variant = relaxed ? "relaxed" : "plain";
  return { module: await WebAssembly.compile(await platform.loadKernels(variant)), variant };
}
