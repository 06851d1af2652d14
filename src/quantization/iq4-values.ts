/**
 * The sixteen levels of the non-linear 4-bit formats IQ4_NL and IQ4_XS, denser around zero,
 * where weights are.
 * Source: ggml `kvalues_iq4nl` (ggml-common.h).
 */

/** Level of each 4-bit code. */
export const IQ4_VALUES: Int8Array = Int8Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);
