/** The builds of the kernels: with relaxed SIMD instructions, and without for machines that lack them. */
export const SIMD_VARIANTS = ["relaxed", "plain"] as const;
export type SimdVariant = (typeof SIMD_VARIANTS)[number];

/** What can be asked for: relaxed where the machine has it, or one of them. */
export const SIMD_BUILDS = ["auto", ...SIMD_VARIANTS] as const;
export type SimdBuild = (typeof SIMD_BUILDS)[number];
