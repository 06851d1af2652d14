/**
 * How good a model is without each of its units: the scan of TrimLLM (arXiv 2412.11242). A deletion is a program without
 * the unit over the same file, so weights are never touched. Output norms and layer influences come from programs that end
 * at the values in question.
 * Invariant: the scanned file and its weights are bit-identical afterwards, as they are only read.
 */
import { answerQuestions, type ChoiceQuestion, type ChoiceReport } from "../../evaluation/multiple-choice.ts";
import type { Executor } from "../../executors/executor.ts";
import { createWasmExecutor } from "../../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Platform } from "../../platform/types.ts";
import { buffersWritten } from "../../program/dataflow.ts";
import type { Buffer, Program } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import { extend } from "../../session/sequence-steps.ts";
import type { Sequence } from "../../session/sequences.ts";
import { StepQueue } from "../../session/step-queue.ts";
import { blockInfluence, cosines } from "./influence.ts";
import type { SublayerId, SublayerKind } from "./recipe.ts";
import { removeSublayers } from "./rewrite.ts";
import { isSame, listSublayers, type Sublayer } from "./sublayers.ts";

/** Questions whose activations are recorded for norms and influences. */
const PROBED_QUESTIONS = 50;

/** What goes as one: a sublayer, or what is left of a decoder layer. */
export const UNIT_KINDS = ["sublayer", "layer"] as const;
export type UnitKind = (typeof UNIT_KINDS)[number];

export interface Unit {
  readonly layer: number;
  readonly kind: SublayerKind | "layer";
  readonly sublayers: readonly SublayerId[];
}

/** Where a scan runs. */
export interface ScanEngine {
  readonly platform: Platform;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

/** The units that a program still has. */
export function listUnits(program: Program, unit: UnitKind): Unit[] {
  const sublayers = listSublayers(program).map(({ layer, kind }) => ({ layer, kind }));
  if (unit === "sublayer") return sublayers.map((id) => ({ ...id, sublayers: [id] }));
  const layers = [...new Set(sublayers.map(({ layer }) => layer))];
  return layers.map((layer) => ({
    layer,
    kind: "layer",
    sublayers: sublayers.filter((id) => id.layer === layer),
  }));
}

/** Quality of `program` on the questions. */
export async function scoreProgram(
  engine: ScanEngine,
  file: ModelFile,
  program: Program,
  questions: readonly ChoiceQuestion[],
  onProgress?: (done: number, total: number) => void,
): Promise<ChoiceReport> {
  return withExecutor(engine, file, program, questions, (executor, sequence, queue) =>
    answerQuestions(questions, {
      sequence,
      queue,
      stepTokens: executor.limits.stepTokens,
      signal: engine.signal,
      onProgress,
    }),
  );
}

/** Quality without each of `units`, one after the other. */
export async function scanUnits(
  engine: ScanEngine,
  file: ModelFile,
  program: Program,
  units: readonly Unit[],
  questions: readonly ChoiceQuestion[],
  onProgress?: (done: number, total: number) => void,
): Promise<ChoiceReport[]> {
  const reports: ChoiceReport[] = [];
  for (const { sublayers } of units) {
    const without = removeSublayers(program, sublayers);
    reports.push(await scoreProgram(engine, file, without, questions));
    onProgress?.(reports.length, units.length);
  }
  return reports;
}

/** Frobenius norm of what the unit adds to the residual stream, over the tokens of the first questions. */
export async function measureNorm(
  engine: ScanEngine,
  file: ModelFile,
  program: Program,
  unit: Unit,
  questions: readonly ChoiceQuestion[],
): Promise<number> {
  let squares = 0;
  for (const id of unit.sublayers) {
    const { last } = sublayerAt(program, id);
    const add = program.ops[last];
    if (add.kind !== "add") throw new Error("trim: a sublayer ends with an addition");
    for (const values of await recordValues(engine, file, program, last - 1, add.b, questions)) {
      squares += add.factor ** 2 * values.reduce((sum, value) => sum + value * value, 0);
    }
  }
  return Math.sqrt(squares);
}

/** Block influence of the unit: 1 - mean cosine of the residual stream before and after it. */
export async function measureInfluence(
  engine: ScanEngine,
  file: ModelFile,
  program: Program,
  unit: Unit,
  questions: readonly ChoiceQuestion[],
): Promise<number> {
  const places = unit.sublayers.map((id) => sublayerAt(program, id));
  const [first, last] = [places[0].first, places[places.length - 1].last];
  const hidden = buffersWritten(program.ops[last])[0];
  const before = await recordValues(engine, file, program, first - 1, hidden, questions);
  const after = await recordValues(engine, file, program, last, hidden, questions);
  return blockInfluence(
    Float64Array.from(before.flatMap((values, i) => [...cosines(values, after[i], hidden.width)])),
  );
}

/** The values [T, width] of `buffer` after op `index`, per question with its right option. */
async function recordValues(
  engine: ScanEngine,
  file: ModelFile,
  program: Program,
  index: number,
  buffer: Buffer,
  questions: readonly ChoiceQuestion[],
): Promise<Float32Array[]> {
  const probed = questions.slice(0, PROBED_QUESTIONS);
  return withExecutor(engine, file, endAt(program, index, buffer), probed, async (_, sequence, queue) => {
    const recorded: Float32Array[] = [];
    for (const { prompt, options, answer } of probed) {
      const tokens = [...prompt, ...options[answer]];
      sequence.tokens.length = 0;
      const piece = { tokens, outputs: [...tokens.keys()] };
      recorded.push(await extend(queue, sequence, piece, engine.signal, (values) => values.slice()));
    }
    return recorded;
  });
}

/** The program up to op `index`, whose result is `buffer`. */
function endAt(program: Program, index: number, buffer: Buffer): Program {
  const out: Buffer = { name: "recorded", width: buffer.width, rows: "outputs" };
  const ops = [...program.ops.slice(0, index + 1), { kind: "selectOutputs", x: buffer, out } as const];
  return validateProgram({ ...program, ops, logits: out, vocabularySize: buffer.width });
}

function sublayerAt(program: Program, id: SublayerId): Sublayer {
  const found = listSublayers(program).find((sublayer) => isSame(sublayer, id));
  if (found === undefined) throw new Error("trim: the unit is gone");
  return found;
}

async function withExecutor<Result>(
  { platform, threads }: ScanEngine,
  file: ModelFile,
  program: Program,
  questions: readonly ChoiceQuestion[],
  use: (executor: Executor, sequence: Sequence, queue: StepQueue) => Promise<Result>,
): Promise<Result> {
  const longest = questions.reduce(
    (most, { prompt, options }) =>
      Math.max(most, prompt.length + Math.max(...options.map(({ length }) => length))),
    1,
  );
  const executor = await createWasmExecutor(platform, program, file, {
    threads,
    limits: { contextLength: longest, slots: 1, stepTokens: longest },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  try {
    return await use(executor, { slot: 0, tokens: [] }, new StepQueue(executor));
  } finally {
    await executor.dispose();
  }
}
