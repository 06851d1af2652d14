/**
 * Sparsity as ProSparse (arXiv 2402.13516) defines it: the share of exact zeros in x1 = act(gate) * up, the input of a
 * down projection, as f32 computes it; per layer, and the mean over layers and tokens. Closed gates are counted the same
 * way: a neuron with an open gate must be computed even where its up is zero.
 */
import { UnsupportedError } from "../../errors.ts";
import { createWasmExecutor } from "../../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Platform } from "../../platform/types.ts";
import type { Activation, Buffer, Op, Program } from "../../program/program.ts";

export interface SparsityOptions {
  /** Token ids of each segment, evaluated from an empty context. */
  readonly segments: readonly (readonly number[])[];
  /** What counts: zeros of x1 (the paper's sparsity) or closed gates (what exact mode skips). */
  readonly of: "x1" | "gates";
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneTokens: number, totalTokens: number) => void) | undefined;
}

export interface SparsityReport {
  /** Mean over layers and tokens. */
  readonly sparsity: number;
  readonly layers: readonly number[];
  /** Of tokens, over all layers: a tenth is sparser than the last. */
  readonly percentiles: { readonly p10: number; readonly p50: number; readonly p90: number };
  readonly tokens: number;
}

/** Tokens per step: bounds the memory for the copies of all activations. */
const STEP_TOKENS = 128;

interface ObservedProgram {
  readonly program: Program;
  /** Copies that survive the step, layer by layer. */
  readonly copies: readonly Buffer[];
  readonly activation: Activation | undefined;
}

/** The program with a copy of every feed-forward's x1 or gates. */
function observeNeurons(program: Program, of: SparsityOptions["of"]): ObservedProgram {
  const copies: Buffer[] = [];
  let activation: Activation | undefined;
  const ops = program.ops.flatMap((op): Op[] => {
    if (op.kind !== "glu") return [op];
    const x = of === "x1" ? op.out : op.gate;
    const copy: Buffer = { ...x, name: `observed ${of} ${copies.length}` };
    copies.push(copy);
    activation = op.activation;
    const observe: Op = { kind: "scale", x, out: copy, factor: 1 };
    return of === "x1" ? [op, observe] : [observe, op];
  });
  if (copies.length === 0) {
    throw new UnsupportedError(`${program.name}: has no gated feed-forward whose neurons could be counted`);
  }
  return { program: { ...program, ops }, copies, activation };
}

/** The program with another activation in every gated unit. */
export function withActivation(program: Program, activation: Activation): Program {
  return { ...program, ops: program.ops.map((op) => (op.kind === "glu" ? { ...op, activation } : op)) };
}

/** Counts zeros over all segments. Throws UnsupportedError for programs without gated units. */
export async function measureSparsity(
  platform: Platform,
  file: ModelFile,
  program: Program,
  { segments, of, threads, signal, onProgress }: SparsityOptions,
): Promise<SparsityReport> {
  const observed = observeNeurons(program, of);
  const isOff = of === "x1" ? isZero : closedGate(observed.activation);
  const longest = Math.max(...segments.map(({ length }) => length));
  const executor = await createWasmExecutor(platform, observed.program, file, {
    threads,
    limits: { contextLength: longest, slots: 1, stepTokens: Math.min(STEP_TOKENS, longest) },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  try {
    const zeros = observed.copies.map(() => 0);
    const byToken: number[] = [];
    const total = segments.reduce((sum, { length }) => sum + length, 0);
    for (const segment of segments) {
      for (let first = 0; first < segment.length; first += STEP_TOKENS) {
        const tokens = segment.slice(first, first + STEP_TOKENS);
        await executor.step(
          {
            tokens: Int32Array.from(tokens),
            positions: Int32Array.from(tokens, (_, row) => first + row),
            slots: new Int32Array(tokens.length),
            outputs: new Int32Array(),
            prompt: true,
          },
          signal,
        );
        const shares = tokens.map(() => 0);
        observed.copies.forEach((copy, layer) => {
          const counts = countByRow(executor.readBuffer(copy, tokens.length), copy.width, isOff);
          counts.forEach((count, row) => {
            zeros[layer] += count / copy.width;
            shares[row] += count / copy.width / observed.copies.length;
          });
        });
        byToken.push(...shares);
        onProgress?.(byToken.length, total);
      }
    }
    return summarize(zeros, byToken);
  } finally {
    await executor.dispose();
  }
}

function isZero(value: number): boolean {
  return value === 0;
}

/** Gates that let nothing through; NaN is none of them, so that it stays visible. */
function closedGate(activation: Activation | undefined): (value: number) => boolean {
  const threshold = Math.fround(activation?.kind === "fatrelu" ? activation.threshold : 0);
  return threshold === 0 ? (value) => value <= 0 : (value) => value < threshold;
}

/** How many values of each row [rows, width] are off. */
function countByRow(values: Float32Array, width: number, isOff: (value: number) => boolean): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let count = 0;
    for (let i = row * width; i < (row + 1) * width; i++) if (isOff(values[i])) count++;
    return count;
  });
}

function summarize(zeros: readonly number[], byToken: readonly number[]): SparsityReport {
  const layers = zeros.map((sum) => sum / byToken.length);
  const sorted = [...byToken].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return {
    sparsity: layers.reduce((sum, share) => sum + share, 0) / layers.length,
    layers,
    percentiles: { p10: at(0.1), p50: at(0.5), p90: at(0.9) },
    tokens: byToken.length,
  };
}
