/** One scan of a trimming run: what each remaining unit is worth, and which ones go next. */
import type { ChoiceReport } from "../../evaluation/multiple-choice.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Program } from "../../program/program.ts";
import { RandomSource } from "../../session/random.ts";
import { sublayerName } from "./recipe.ts";
import { listUnits, measureInfluence, measureNorm, scanUnits, type Unit } from "./scan.ts";
import { bestCandidates, chooseUnit, normScores } from "./selection.ts";
import type { ScanEntry, TrimRound } from "./trim-state.ts";
import type { TrimSettings, TrimWorld } from "./trim-world.ts";

/** A unit with all that is known of it; `norm` is measured where it can decide. */
interface Ranked extends Unit {
  readonly quality: number;
  readonly report: ChoiceReport | undefined;
  readonly norm: number;
}

export interface NextChoice {
  readonly round: Omit<TrimRound, "result">;
  readonly deletions: number;
}

/** Name of a unit in reports: `3.mlp`, or `3` for a whole layer. */
function unitName({ layer, kind }: Pick<Unit, "layer" | "kind">): string {
  return kind === "layer" ? String(layer) : sublayerName({ layer, kind });
}

/** Chooses what goes from `program` before round `index`; at least one unit is left. */
export async function chooseNext(
  world: TrimWorld,
  settings: TrimSettings,
  file: ModelFile,
  program: Program,
  index: number,
): Promise<NextChoice> {
  const startedAt = world.now();
  const units = listUnits(program, settings.unit);
  const ranked = await rankUnits(world, settings, file, program, units, index);
  const tied = bestCandidates(ranked, settings.tolerance);
  const measured = await addNorms(world, settings, file, program, ranked, tied);
  const wanted = Math.min(
    settings.unitsPerRound,
    units.length - 1,
    settings.mostUnits - droppedBefore(settings, index),
  );
  const chosen: Ranked[] = [];
  while (chosen.length < wanted) {
    const rest = measured.filter((unit) => !chosen.includes(unit));
    chosen.push(chooseUnit(rest, settings.tolerance, settings.tieBreaker));
  }
  return {
    round: {
      dropped: chosen.flatMap(({ sublayers }) => sublayers.map(sublayerName)),
      scan: measured.map(entryOf),
      tied: tied.length,
      scanSeconds: (world.now() - startedAt) / 1000,
    },
    deletions: usesDeletions(settings) ? units.length : 0,
  };
}

function droppedBefore({ unitsPerRound }: TrimSettings, index: number): number {
  return unitsPerRound * (index - 1);
}

function usesDeletions({ select }: TrimSettings): boolean {
  return select === "accuracy" || select === "loss";
}

async function rankUnits(
  world: TrimWorld,
  settings: TrimSettings,
  file: ModelFile,
  program: Program,
  units: readonly Unit[],
  index: number,
): Promise<Ranked[]> {
  const { calibration } = world.data;
  const progress = (done: number) => world.onProgress("scanning", done, units.length);
  const plain = (unit: Unit, quality: number, norm = 0): Ranked => ({
    ...unit,
    quality,
    norm,
    report: undefined,
  });
  if (settings.select === "random") {
    const random = new RandomSource((settings.seed + 0x9e3779b9 * index) >>> 0);
    return units.map((unit) => plain(unit, random.nextUnit()));
  }
  if (settings.select === "influence") {
    const ranked: Ranked[] = [];
    for (const unit of units) {
      ranked.push(plain(unit, -(await measureInfluence(world, file, program, unit, calibration))));
      progress(ranked.length);
    }
    return ranked;
  }
  if (settings.select === "norm") {
    const norms: number[] = [];
    for (const unit of units) {
      norms.push(await measureNorm(world, file, program, unit, calibration));
      progress(norms.length);
    }
    return units.map((unit, i) => plain(unit, -scoreWithinKind(units, norms, i), norms[i]));
  }
  const reports = await scanUnits(world, file, program, units, calibration, progress);
  return units.map((unit, i) => ({
    ...unit,
    quality: qualityOf(settings, reports[i]),
    report: reports[i],
    norm: 0,
  }));
}

/** What the choice goes by, higher is better: accuracy, or the loss where that is asked for or there are no options. */
export function qualityOf({ select }: Pick<TrimSettings, "select">, report: ChoiceReport): number {
  return select === "loss" || report.chance === 1 ? -report.meanNll : report.accuracy;
}

/** The norm score of unit `i` among units of its kind; norms of different kinds do not compare. */
function scoreWithinKind(units: readonly Unit[], norms: readonly number[], i: number): number {
  const same = norms.filter((_, j) => units[j].kind === units[i].kind);
  return normScores([norms[i], ...same])[0];
}

/** Norms of the units among which they decide. */
async function addNorms(
  world: TrimWorld,
  settings: TrimSettings,
  file: ModelFile,
  program: Program,
  ranked: readonly Ranked[],
  tied: readonly Ranked[],
): Promise<Ranked[]> {
  const decide = usesDeletions(settings) && settings.tieBreaker === "activation";
  const result: Ranked[] = [];
  for (const unit of ranked) {
    const needed = decide && (settings.unitsPerRound > 1 || (tied.length > 1 && tied.includes(unit)));
    const norm = needed ? await measureNorm(world, file, program, unit, world.data.calibration) : unit.norm;
    result.push({ ...unit, norm });
  }
  return result;
}

function entryOf(unit: Ranked): ScanEntry {
  const { quality, report, norm } = unit;
  return {
    unit: unitName(unit),
    quality,
    accuracy: report?.accuracy ?? null,
    meanNll: report?.meanNll ?? null,
    norm: norm === 0 ? null : norm,
  };
}
