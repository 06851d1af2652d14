/**
 * Tensors of a synthetic model, written straight as random blocks: encoding billions of numbers would take
 * minutes, drawing their bits takes seconds. Standard deviations are about 1 / sqrt(columns), so
 * activations stay near 1.
 * Invariant: no block holds a bit pattern that an encoder would not write (int8 codes never are -128).
 */
import type { TensorSource } from "../formats/tensor-source.ts";
import { f16 } from "../quantization/f16.ts";
import { f32 } from "../quantization/f32.ts";
import { float32ToFloat16 } from "../quantization/float16.ts";
import { q4_0 } from "../quantization/q4-0.ts";
import { q8_0 } from "../quantization/q8-0.ts";
import type { WeightFormat } from "../quantization/weight-format.ts";
import { RandomSource } from "../session/random.ts";
import type { SynthShape } from "./synth-shape.ts";

/** A storage that `synth` can draw. */
export interface SynthFormat {
  readonly format: WeightFormat;
  /** `general.file_type`, LLAMA_FTYPE_MOSTLY_* in llama.h. */
  readonly fileType: number;
  /** Turns random bytes, whole blocks, into blocks of weights with about this standard deviation. */
  readonly shapeBlocks: (bytes: Uint8Array, deviation: number) => void;
}

/** Standard deviation of a code drawn uniformly from -127..127, and from -8..7. */
const Q8_DEVIATION = Math.sqrt((255 ** 2 - 1) / 12);
const Q4_DEVIATION = Math.sqrt((16 ** 2 - 1) / 12);
/** Root mean square of a mantissa drawn uniformly from [1, 2). */
const MANTISSA_RMS = Math.sqrt(7 / 3);

export const SYNTH_FORMATS: Readonly<Record<"q8_0" | "q4_0" | "f16", SynthFormat>> = {
  q8_0: {
    format: q8_0,
    fileType: 7,
    shapeBlocks: (bytes, deviation) => shapeScaled(bytes, q8_0, deviation / Q8_DEVIATION),
  },
  q4_0: {
    format: q4_0,
    fileType: 2,
    shapeBlocks: (bytes, deviation) => shapeScaled(bytes, q4_0, deviation / Q4_DEVIATION),
  },
  f16: { format: f16, fileType: 1, shapeBlocks: shapeHalves },
};

/** Bytes drawn at a time: whole blocks of every format, and enough to make file writes cheap. */
const PIECE_BLOCKS = 1 << 16;

/** All tensors in file order. `onBytes` hears of every piece drawn; it may throw to stop the writing. */
export function synthTensors(
  shape: SynthShape,
  storage: SynthFormat,
  seed: number,
  onBytes: (bytes: number) => void,
): TensorSource[] {
  const { width, feedForwardWidth, heads, kvHeads, vocabularySize } = shape;
  const random = new RandomSource(seed);
  const matrix = (name: string, rows: number, columns: number, deviation = 1 / Math.sqrt(columns)) =>
    randomMatrix(name, [rows, columns], storage, deviation, random, onBytes);
  const norm = (name: string) => constantVector(name, width);
  const queryWidth = width;
  const keyWidth = (width / heads) * kvHeads;
  const layers = Array.from({ length: shape.layers }, (_, layer): TensorSource[] => {
    const block = `blk.${layer}`;
    const inputs =
      shape.architecture === "phi3"
        ? [matrix(`${block}.attn_qkv.weight`, queryWidth + 2 * keyWidth, width)]
        : [
            matrix(`${block}.attn_q.weight`, queryWidth, width),
            matrix(`${block}.attn_k.weight`, keyWidth, width),
            matrix(`${block}.attn_v.weight`, keyWidth, width),
          ];
    const gated =
      shape.architecture === "phi3"
        ? [matrix(`${block}.ffn_up.weight`, 2 * feedForwardWidth, width)]
        : [
            matrix(`${block}.ffn_gate.weight`, feedForwardWidth, width),
            matrix(`${block}.ffn_up.weight`, feedForwardWidth, width),
          ];
    return [
      norm(`${block}.attn_norm.weight`),
      ...inputs,
      matrix(`${block}.attn_output.weight`, width, width),
      norm(`${block}.ffn_norm.weight`),
      ...gated,
      matrix(`${block}.ffn_down.weight`, width, feedForwardWidth),
    ];
  });
  return [
    matrix("token_embd.weight", vocabularySize, width, 1),
    ...layers.flat(),
    norm("output_norm.weight"),
    matrix("output.weight", vocabularySize, width),
  ];
}

function randomMatrix(
  name: string,
  shape: readonly [rows: number, columns: number],
  storage: SynthFormat,
  deviation: number,
  random: RandomSource,
  onBytes: (bytes: number) => void,
): TensorSource {
  const { format } = storage;
  return {
    name,
    shape,
    format,
    *data() {
      const total = (shape[0] * shape[1]) / format.blockSize;
      for (let done = 0; done < total; done += PIECE_BLOCKS) {
        const bytes = drawBytes(Math.min(PIECE_BLOCKS, total - done) * format.blockBytes, random);
        storage.shapeBlocks(bytes, deviation);
        onBytes(bytes.length);
        yield bytes;
      }
    },
  };
}

function constantVector(name: string, length: number): TensorSource {
  return {
    name,
    shape: [length],
    format: f32,
    *data() {
      yield new Uint8Array(new Float32Array(length).fill(1).buffer);
    },
  };
}

/**
 * Random bytes none of which is 0x80 (-128 as an int8 code). xorshift32 (Marsaglia, 2003),
 * reseeded per piece.
 */
function drawBytes(length: number, random: RandomSource): Uint8Array {
  const words = new Int32Array(Math.ceil(length / 4));
  let state = random.nextUint32() | 1;
  for (let i = 0; i < words.length; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // Mycroft's test for a zero byte, applied to the word with 0x80 moved to zero.
    const moved = state ^ 0x80808080;
    if (((moved - 0x01010101) & ~moved & 0x80808080) === 0) words[i++] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** Formats whose blocks are an f16 scale and then codes: overwrites the scale. */
function shapeScaled(bytes: Uint8Array, format: WeightFormat, scale: number): void {
  const bits = float32ToFloat16(scale);
  for (let block = 0; block < bytes.length; block += format.blockBytes) {
    bytes[block] = bits & 0xff;
    bytes[block + 1] = bits >> 8;
  }
}

/** f16: random sign and mantissa, the exponent nearest to the deviation. */
function shapeHalves(bytes: Uint8Array, deviation: number): void {
  const exponent = (15 + Math.round(Math.log2(deviation / MANTISSA_RMS))) << 10;
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  for (let i = 0; i < halves.length; i++) halves[i] = (halves[i] & 0x83ff) | exponent;
}
