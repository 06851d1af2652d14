/**
 * Shapes of tiny synthetic checkpoints: small enough to run in milliseconds, odd enough to exercise what each
 * family can do (grouped queries, head widths that are not D / H, tied heads, rotary scalings).
 * Invariant: matrix rows are multiples of 32, so every block format can hold them.
 */

/** Rotary scaling as a synthetic checkpoint states it. */
export type SyntheticScaling =
  | { readonly kind: "none" }
  | { readonly kind: "linear"; readonly factor: number }
  | { readonly kind: "llama3"; readonly factor: number; readonly originalContextLength: number }
  | { readonly kind: "yarn"; readonly factor: number; readonly originalContextLength: number }
  | { readonly kind: "longrope"; readonly originalContextLength: number };

export const SYNTHETIC_FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "phi3", "minicpm"] as const;

export type SyntheticFamily = (typeof SYNTHETIC_FAMILIES)[number];

export interface SyntheticShape {
  readonly layers: number;
  readonly width: number;
  readonly feedForwardWidth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  /** Rotated elements per head; less than headWidth only for phi3. */
  readonly rotaryWidth: number;
  /** At least 320: four control tokens, 256 bytes, and some text. */
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly rotaryBase: number;
  readonly scaling: SyntheticScaling;
  readonly tiedHead: boolean;
  /** Biases of the attention and feed-forward matrices; llama only (qwen2 always has its three). */
  readonly biases: boolean;
  /** `hidden_act`; GGUF holds only silu. */
  readonly activation: string;
  /** `hidden_act_param` */
  readonly activationParameter: number | undefined;
  /** Sliding window in positions; mistral, phi3 and qwen2 folders (GGUF of llama-like models has none). */
  readonly window: number | undefined;
}

const BASE: SyntheticShape = {
  layers: 2,
  width: 64,
  feedForwardWidth: 160,
  heads: 4,
  kvHeads: 2,
  headWidth: 16,
  rotaryWidth: 16,
  vocabularySize: 320,
  contextLength: 256,
  rotaryBase: 10000,
  scaling: { kind: "none" },
  tiedHead: false,
  biases: false,
  activation: "silu",
  activationParameter: undefined,
  window: undefined,
};

const DEFAULTS: Readonly<Record<SyntheticFamily, Partial<SyntheticShape>>> = {
  llama: { rotaryBase: 500000, scaling: { kind: "llama3", factor: 8, originalContextLength: 64 } },
  mistral: { headWidth: 32, rotaryWidth: 32 },
  qwen2: {
    rotaryBase: 1e6,
    tiedHead: true,
    scaling: { kind: "yarn", factor: 4, originalContextLength: 64 },
  },
  qwen3: { headWidth: 32, rotaryWidth: 32, rotaryBase: 1e6, tiedHead: true },
  phi3: { rotaryWidth: 12, scaling: { kind: "longrope", originalContextLength: 64 } },
  minicpm: { kvHeads: 4, tiedHead: true },
};

/** The family's default shape with some numbers replaced. */
export function syntheticShape(
  family: SyntheticFamily,
  changes: Partial<SyntheticShape> = {},
): SyntheticShape {
  return { ...BASE, ...DEFAULTS[family], ...changes };
}
