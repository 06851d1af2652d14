/**
 * What a storage format of weights owes the rest of skim. One file per format implements this interface;
 * shared code asks a format for a fact and never compares its name.
 */

export interface WeightFormat {
  /** The field's name for it, e.g. `Q4_0`, `F16`. */
  readonly name: string;
  /** Tensor type number in GGUF files, undefined when GGUF cannot hold it. */
  readonly ggmlType: number | undefined;
  /** Weights per block; a row's length must be a multiple of it. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;
  /**
   * True for integer codes, which stand for nothing without the scales of a recipe;
   * float formats leave it out.
   */
  readonly codes?: true;
  /** Where the layout is specified. */
  readonly source: string;
  /**
   * Decodes whole blocks: `bytes` holds n blocks, `values` receives n * blockSize f32 values.
   */
  decode(bytes: Uint8Array, values: Float32Array): void;
  /** Encodes whole blocks, the inverse direction; absent for formats skim only reads. */
  encode?(values: Float32Array, bytes: Uint8Array): void;
}

/** Bytes that `count` weights occupy; count must be a multiple of the block size. */
export function formatBytes(format: WeightFormat, count: number): number {
  return (count / format.blockSize) * format.blockBytes;
}

export function bitsPerWeight(format: WeightFormat): number {
  return (format.blockBytes * 8) / format.blockSize;
}
