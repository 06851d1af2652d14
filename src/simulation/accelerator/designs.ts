/**
 * The ways to quantize a matmul that the accelerator simulator compares, all on the same array. They are
 * models of ideas, not of other people's chips:
 * - `tender`: channel groups a factor 2 apart, one cycle of shift between groups (Lee et al., ISCA 2024);
 * - `plain`: one scale per tensor, nothing between first and last product;
 * - `mixed`: outlier channels as a second matmul with 16-bit operands, added in the vector unit;
 * - `groupwise`: a float scale per group of channels; after each group the accumulators leave the
 *   array and are scaled and added in the vector unit, which the single accumulator of a processing
 *   element cannot hide.
 */
import { OptionError } from "../../errors.ts";

export type Design =
  | { readonly kind: "tender"; readonly bits: 4 | 8; readonly groups: number }
  | { readonly kind: "plain"; readonly bits: 4 | 8 }
  | {
      readonly kind: "mixed";
      readonly bits: 4 | 8;
      /** Fraction of the input channels that are outliers. */
      readonly outlierShare: number;
    }
  | {
      readonly kind: "groupwise";
      readonly bits: 4 | 8;
      /** Channels per group. */
      readonly groupSize: number;
    };

export interface DesignOptions {
  readonly bits: 4 | 8;
  readonly groups: number;
  readonly outlierShare: number;
  readonly groupSize: number;
}

/** The four designs at one width, Tender first. Throws OptionError for options out of range. */
export function listDesigns({ bits, groups, outlierShare, groupSize }: DesignOptions): Design[] {
  if (!Number.isInteger(groups) || groups < 1) {
    throw new OptionError(`groups: expected a whole number of at least 1, got ${groups}`);
  }
  if (!(outlierShare >= 0 && outlierShare < 1)) {
    throw new OptionError(`outlier share: expected a fraction from 0 to below 1, got ${outlierShare}`);
  }
  if (!Number.isInteger(groupSize) || groupSize < 1) {
    throw new OptionError(`group size: expected a whole number of at least 1, got ${groupSize}`);
  }
  return [
    { kind: "tender", bits, groups },
    { kind: "plain", bits },
    { kind: "mixed", bits, outlierShare },
    { kind: "groupwise", bits, groupSize },
  ];
}

/** What a design is called in tables. */
export function designName(design: Design): string {
  const width = `int${design.bits}`;
  switch (design.kind) {
    case "tender":
      return `tender ${width}, ${design.groups} groups`;
    case "plain":
      return `plain ${width}`;
    case "mixed":
      return `${width} + 16-bit outliers (${+(design.outlierShare * 100).toPrecision(3)} %)`;
    case "groupwise":
      return `groupwise ${width}, groups of ${design.groupSize}`;
  }
}
