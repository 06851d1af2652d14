/**
 * How attention caches hold keys and values: f32, f16, or q8, signed bytes with one f32 scale per position
 * and head (largest magnitude / 127). A cache of bytes is half as large as f16 and is multiplied as integers.
 */
export const KEY_VALUE_FORMATS = ["f16", "f32", "q8"] as const;

export type KeyValueFormat = (typeof KEY_VALUE_FORMATS)[number];

/** Bytes of a head's key, or of its value, of one position and `width` channels. */
export function keyValueRowBytes(format: KeyValueFormat, width: number): number {
  switch (format) {
    case "f16":
      return 2 * width;
    case "f32":
      return 4 * width;
    case "q8":
      return width + 4;
  }
}
