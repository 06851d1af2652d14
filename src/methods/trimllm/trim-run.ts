/**
 * The progressive run of TrimLLM (arXiv 2412.11242): tune, measure, scan, drop, and again, until quality, bytes or units end
 * it; then the size that validation chooses is looked at on the test set, once. The state is saved after each stage, so a
 * run goes on where it was.
 * Invariant: state, settings and data determine everything that follows; a stopped run ends as one that was never stopped.
 */
import { loadRecipeProgram } from "../recipes.ts";
import { chooseNext, qualityOf } from "./choose-next.ts";
import { listUnits, scanUnits, scoreProgram } from "./scan.ts";
import { trainableBlocks } from "./selection.ts";
import { chooseSize, endReason } from "./stopping.ts";
import type { TrimState } from "./trim-state.ts";
import type { TrimSettings, TrimWorld } from "./trim-world.ts";
import { tuneRound } from "./tune-round.ts";
import { withSize } from "./with-size.ts";

/** Runs from `start` to the end, or until the signal; the state tells which. */
export async function trim(world: TrimWorld, settings: TrimSettings, start: TrimState): Promise<TrimState> {
  let state = start;
  const save = async (next: TrimState) => {
    state = next;
    await world.saveState(state);
  };
  await save(state);
  if (state.trained === undefined) await save({ ...state, ...(await prepare(world, settings)) });
  if (state.rounds.length === 0) await save(withRound(state, EMPTY_ROUND));
  const blocks = state.trained?.blocks ?? [];
  const mostRounds = Math.ceil(settings.mostUnits / settings.unitsPerRound);
  while (state.end === undefined) {
    if (state.rounds[state.rounds.length - 1].result === undefined) {
      const result = await tuneRound(world, settings, state, blocks);
      if (result === undefined) return state;
      await save({
        ...state,
        rounds: state.rounds.with(-1, { ...state.rounds[state.rounds.length - 1], result }),
      });
      world.onRound(state);
    }
    const round = state.rounds.length - 1;
    await withSize(world, round, async (file, program) => {
      const end = endReason(settings, state, listUnits(program, settings.unit).length, mostRounds);
      if (end !== undefined) return save({ ...state, end });
      const next = await chooseNext(world, settings, file, program, round + 1);
      await save(withRound({ ...state, deletions: state.deletions + next.deletions }, next.round));
    });
  }
  if (state.chosen === undefined) await save({ ...state, chosen: chooseSize(settings, state) });
  if (state.test === undefined && world.data.test.length > 0)
    await save({ ...state, test: await testOnce(world, state) });
  return state;
}

const EMPTY_ROUND: TrimState["rounds"][number] = { dropped: [], scan: [], tied: 0, scanSeconds: 0 };

function withRound(state: TrimState, round: TrimState["rounds"][number]): TrimState {
  return { ...state, rounds: [...state.rounds, round] };
}

/** The base model on validation, and the blocks to train: those whose deletion costs most. */
async function prepare(
  world: TrimWorld,
  settings: TrimSettings,
): Promise<Pick<TrimState, "trained" | "untuned" | "deletions">> {
  const { base, data } = world;
  const { program } = await loadRecipeProgram(base);
  const untuned = await scoreProgram(world, base, program, data.validation, (done, total) =>
    world.onProgress("validating", done, total),
  );
  const units = listUnits(program, "sublayer");
  const layers = [...new Set(units.map(({ layer }) => layer))];
  const { trainedShare: share } = settings;
  if (share === 1) {
    return { untuned, deletions: 0, trained: { blocks: layers, share, frozenShare: 0, sums: [] } };
  }
  const reports = await scanUnits(world, base, program, units, data.calibration, (done, total) =>
    world.onProgress("scanning", done, total),
  );
  const sums = layers.map((layer) =>
    units.reduce((sum, unit, i) => sum + (unit.layer === layer ? qualityOf(settings, reports[i]) : 0), 0),
  );
  const blocks = trainableBlocks(sums, share).map((i) => layers[i]);
  return { untuned, deletions: units.length, trained: { blocks, share, frozenShare: 1 - share, sums } };
}

/** The chosen size and the whole tuned model on the test set, which nothing else looks at. */
async function testOnce(world: TrimWorld, { chosen }: TrimState): Promise<NonNullable<TrimState["test"]>> {
  const score = (round: number) =>
    withSize(world, round, (file, program) =>
      scoreProgram(world, file, program, world.data.test, (done, total) =>
        world.onProgress("testing", done, total),
      ),
    );
  return { chosen: await score(chosen?.round ?? 0), whole: await score(0) };
}
