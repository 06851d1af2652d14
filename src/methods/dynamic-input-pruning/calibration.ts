/**
 * Thresholds that keep a wanted share of activations on calibration text: CATS (arXiv 2404.08763) on the activated gate,
 * TEAL (arXiv 2408.14690) on the inputs of all linears, one level for all layers. A threshold is the smallest
 * magnitude among the kept share over all tokens and channels of a layer, rounded down to the 11 significant bits
 * of fp16.
 * Invariant: magnitudes are counted in bins, so that memory does not grow with the text and the share that a
 * threshold kept is known exactly.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import type { Platform } from "../../platform/types.ts";
import type { Buffer, Op, Program } from "../../program/program.ts";
import { createSegmentExecutor, runSegments, type SegmentRun } from "../calibration-segments.ts";
import { activationOf, findGatedUnits } from "../gated-units.ts";
import { MagnitudeBins } from "../magnitude-bins.ts";
import type { ColumnChoice } from "./recipe.ts";
import { layerCount, type Site, siteOf } from "./rewrite.ts";

export type ThresholdSite = Site | "neurons";
type Thresholds = Extract<ColumnChoice, { kind: "thresholds" }>;

/** Segments are evaluated densely. */
export interface ThresholdPlan extends SegmentRun {
  /** Where thresholds are wanted; `neurons` are the activated gates. */
  readonly sites: readonly ThresholdSite[];
  /** Share of the magnitudes to keep, 0 to 1. */
  readonly kept: number;
  readonly threads: number;
}

/** Tokens per step: bounds the memory for the copies of all activations. */
const STEP_TOKENS = 32;
/** Of fp16, whose values thresholds are. */
const FRACTION_BITS = 10;

/** Thresholds of every site, per layer; 0 for layers without that site. Errors of running the model. */
export async function calibrateThresholds(
  platform: Platform,
  file: ModelFile,
  program: Program,
  plan: ThresholdPlan,
): Promise<ReadonlyMap<ThresholdSite, Thresholds>> {
  const { segments, threads } = plan;
  const observed = observeMagnitudes(program, new Set(plan.sites));
  const histograms = observed.copies.map(() => new MagnitudeHistogram());
  const executor = await createSegmentExecutor(platform, observed.program, file, {
    segments,
    threads,
    stepTokens: STEP_TOKENS,
  });
  try {
    await runSegments(executor, plan, { prompt: true }, (rows) => {
      for (const [i, { copy }] of observed.copies.entries())
        histograms[i].add(executor.readBuffer(copy, rows));
    });
  } finally {
    await executor.dispose();
  }
  const results = new Map<ThresholdSite, { kind: "thresholds"; thresholds: number[]; shares: number[] }>();
  for (const site of plan.sites) {
    const layers = layerCount(program);
    const none = () => new Array<number>(layers).fill(0);
    results.set(site, { kind: "thresholds", thresholds: none(), shares: none() });
  }
  for (const [i, { site, layer }] of observed.copies.entries()) {
    const result = results.get(site);
    const { threshold, share } = histograms[i].thresholdFor(plan.kept);
    if (result === undefined) continue;
    result.thresholds[layer] = threshold;
    result.shares[layer] = share;
  }
  return results;
}

interface ObservedSite {
  readonly site: ThresholdSite;
  readonly layer: number;
  /** Copy that survives the step. */
  readonly copy: Buffer;
}

/** The program with a copy of what each site's choice would compare. */
function observeMagnitudes(
  program: Program,
  sites: ReadonlySet<ThresholdSite>,
): { readonly program: Program; readonly copies: readonly ObservedSite[] } {
  const copies: ObservedSite[] = [];
  const observe = (site: ThresholdSite, layer: number, x: Buffer): Buffer => {
    const copy: Buffer = { ...x, name: `observed ${site} ${layer}` };
    copies.push({ site, layer, copy });
    return copy;
  };
  const units = sites.has("neurons") ? findGatedUnits(program) : [];
  const ops = program.ops.flatMap((op, i): Op[] => {
    const unit = units.find(({ gate }) => gate === i);
    const found = siteOf(op);
    const around: Op[] = [op];
    if (found !== undefined && sites.has(found.site) && !copies.some(isOf(found))) {
      const { x } = found.op;
      around.unshift({ kind: "scale", x, out: observe(found.site, found.layer, x), factor: 1 });
    }
    if (unit !== undefined && op.kind === "linear") {
      const activation = activationOf(program, unit);
      around.push({ kind: "activate", x: op.out, out: observe("neurons", unit.layer, op.out), activation });
    }
    return around;
  });
  return { program: { ...program, ops }, copies };
}

function isOf(wanted: { readonly site: Site; readonly layer: number }): (known: ObservedSite) => boolean {
  return ({ site, layer }) => site === wanted.site && layer === wanted.layer;
}

/** Counts of magnitudes. */
export class MagnitudeHistogram {
  readonly #bins = new MagnitudeBins(FRACTION_BITS);
  readonly #counts = new Uint32Array(this.#bins.count);
  #total = 0;

  add(values: Float32Array): void {
    for (const bin of this.#bins.of(values)) this.#counts[bin]++;
    this.#total += values.length;
  }

  /** The largest threshold that keeps at least this share of what was counted, and the share that it keeps. */
  thresholdFor(kept: number): { readonly threshold: number; readonly share: number } {
    const wanted = kept * this.#total;
    let count = 0;
    for (let bin = this.#counts.length - 1; bin >= 0; bin--) {
      count += this.#counts[bin];
      if (this.#counts[bin] > 0 && count >= wanted) {
        return { threshold: this.#bins.lowerEdge(bin), share: count / this.#total };
      }
    }
    return { threshold: 0, share: this.#total === 0 ? 0 : count / this.#total };
  }
}
