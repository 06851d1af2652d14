/**
 * `skim train trim`: TrimLLM. Tunes a model on one domain while
 * its least useful sublayers go one after the other.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Command } from "commander";
import { encodeQuestion, parseQuestions } from "../evaluation/choice-questions.ts";
import type { ChoiceQuestion, ChoiceReport } from "../evaluation/multiple-choice.ts";
import type { HuggingFaceModelFile } from "../formats/model-file.ts";
import { loadTrainableProgram } from "../methods/recipes.ts";
import {
  hashQuestions,
  splitQuestions,
  type TrimData,
  textQuestions,
  trainingSequence,
} from "../methods/trimllm/data.ts";
import { listUnits } from "../methods/trimllm/scan.ts";
import { trim } from "../methods/trimllm/trim-run.ts";
import { parseTrimState, type TrimState } from "../methods/trimllm/trim-state.ts";
import type { TrimSettings, TrimWorld } from "../methods/trimllm/trim-world.ts";
import { createFileSink, nodePlatform } from "../platform/node.ts";
import type { Platform } from "../platform/types.ts";
import { withFile } from "../platform/with-file.ts";
import { formatByName } from "../quantization/registry.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { CorpusEncoder } from "../training/corpus-encoder.ts";
import { ExampleBatches } from "../training/example-batches.ts";
import { saveModelDescription, saveWeights } from "../training/save-model.ts";
import { InterruptedError, UsageError } from "./failure.ts";
import { wasStopped, withInterrupt } from "./interrupt.ts";
import { hashTensors } from "./model-hash.ts";
import { createRunFolder, loadCheckpoint, saveCheckpoint, sizeFolder, TRIM_STATE } from "./run-folder.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";
import { holdsExamples, readTextFlag, writeTextFile } from "./text-file.ts";
import { openFolder } from "./train-data.ts";
import { addTrimFlags, type TrimFlags, trimSettings } from "./train-trim-flags.ts";
import { TrimProgress } from "./train-trim-progress.ts";

const REPORT = "report.html";

const EXAMPLES = `
Examples:
  $ skim train trim --model ./SmolLM-135M --data medical.jsonl --test medical-test.jsonl --out medical
  $ skim train trim --model ./SmolLM-135M --data legal.txt --select loss --most-bytes 150MB --out legal
  $ skim train trim --model ./SmolLM-135M --data medical.jsonl --out medical --resume

Lines of a .jsonl file are {"prompt": ..., "options": [...], "answer": index of the right one}, or {"prompt": ...,
"answer": ...} for text to predict, which needs --select loss. The data are split into training, calibration (which unit
goes) and validation (which size). After every --steps updates the unit goes without which the model answers most
calibration questions; --out gets a model folder per size (size-00, size-01, ...), ${TRIM_STATE} and ${REPORT}. Ctrl-C saves;
--resume with the same flags continues as if nothing had happened.`;

export function addTrimCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command("trim")
    .description("leave out sublayers one after the other while tuning on a domain (TrimLLM)")
    .addHelpText("after", EXAMPLES);
  addTrimFlags(command).action((flags: TrimFlags) => runTrim(terminal, flags));
}

async function runTrim(terminal: Terminal, flags: TrimFlags): Promise<void> {
  const platform = nodePlatform();
  await prepareFolder(flags);
  await withFile(await openFolder(platform, flags.model), async (base) => {
    const { program } = await loadTrainableProgram(base, { contextLength: flags.context });
    const settings = trimSettings(flags, listUnits(program, flags.unit).length);
    const tokenizer = await loadTokenizer(base);
    const encoder = await CorpusEncoder.create(tokenizer, base);
    const read = async (file: string, flag: string): Promise<ChoiceQuestion[]> => {
      const text = await readTextFlag(file, flag);
      if (!holdsExamples(file)) return textQuestions(encoder.encodeDocuments(text), flags.context);
      return parseQuestions(file, text).map((question) => encodeQuestion(question, tokenizer));
    };
    const questions = await read(flags.data, "--data");
    const test = flags.test === undefined ? [] : await read(flags.test, "--test");
    const data = splitQuestions(flags.data, questions, test, flags);
    checkSelection(flags, data);
    tellData(terminal, data);
    const endId = holdsExamples(flags.data) ? encoder.endId : undefined;
    await withInterrupt(async (signal) => {
      const run = async (): Promise<TrimState> => {
        const state = await startState(flags, base, settings, data, signal);
        const progress = new TrimProgress(terminal, settings, state.rounds.length);
        const { fingerprint } = state;
        const world = makeWorld({ flags, platform, base, data, endId, fingerprint, progress, signal });
        return trim(world, settings, state).finally(() => progress.end());
      };
      const end = await run().catch((error: unknown) => {
        if (!wasStopped(error, signal)) throw error;
        return undefined;
      });
      if (end?.end === undefined) {
        printNote(terminal, "saved - the same command with --resume continues");
        throw new InterruptedError();
      }
      await report(terminal, flags, end);
    });
  });
}

/** A folder that holds a run is only continued, never overwritten. */
async function prepareFolder({ out, resume }: TrimFlags): Promise<void> {
  const holdsRun = existsSync(path.join(out, TRIM_STATE));
  if (resume === true && !holdsRun) {
    throw new UsageError(
      `train trim: ${out} has no ${TRIM_STATE} to resume from - leave out --resume to start`,
    );
  }
  if (resume !== true && holdsRun) {
    throw new UsageError(`train trim: ${out} already holds a run - choose another folder or add --resume`);
  }
  await createRunFolder(out);
}

/** Accuracy needs options to choose from. */
function checkSelection({ select, leastAccuracy, data: name }: TrimFlags, data: TrimData): void {
  const hasOptions = data.calibration.some(({ options }) => options.length > 1);
  if (hasOptions || (select !== "accuracy" && leastAccuracy === undefined)) return;
  throw new UsageError(
    `train trim: ${name} has no options to choose from, expected them for accuracy - add --select loss, and --most-perplexity instead of --least-accuracy`,
  );
}

function tellData(terminal: Terminal, { train, calibration, validation, test, left }: TrimData): void {
  printNote(
    terminal,
    `data: ${train.length} examples to train on, ${calibration.length} calibration, ${validation.length} validation, ${test.length} test; ` +
      `left out ${left.tooLong} too long, ${left.twice} twice, ${left.inTest} in the test set`,
  );
}

async function startState(
  flags: TrimFlags,
  base: HuggingFaceModelFile,
  settings: TrimSettings,
  data: TrimData,
  signal: AbortSignal,
): Promise<TrimState> {
  const hash = await hashTensors(base, { signal, onProgress: () => undefined });
  const splits = {
    train: hashQuestions(data.train),
    calibration: hashQuestions(data.calibration),
    validation: hashQuestions(data.validation),
    test: hashQuestions(data.test),
  };
  const { batch, context, weights } = flags;
  const fingerprint = JSON.stringify({ base: hash, splits, settings, batch, context, weights });
  if (flags.resume !== true) {
    return { version: 1, fingerprint, base: hash, splits, rounds: [], deletions: 0 };
  }
  const file = path.join(flags.out, TRIM_STATE);
  const state = parseTrimState(file, await readFile(file, "utf8"));
  if (state.fingerprint === fingerprint) return state;
  throw new UsageError(`${file}: belongs to another run - resume with the same model, data and flags`);
}

/** What a run's world is made of. */
interface TrimRun {
  readonly flags: TrimFlags;
  readonly platform: Platform;
  readonly base: HuggingFaceModelFile;
  readonly data: TrimData;
  readonly endId: number | undefined;
  readonly fingerprint: string;
  readonly progress: TrimProgress;
  readonly signal: AbortSignal;
}

function makeWorld({
  flags,
  platform,
  base,
  data,
  endId,
  fingerprint,
  progress,
  signal,
}: TrimRun): TrimWorld {
  const { context, batch, out, seed } = flags;
  const sequences = data.train.map((question) => trainingSequence(question, endId));
  const format = formatByName(flags.weights);
  return {
    platform,
    threads: flags.threads ?? platform.coreCount,
    base,
    data,
    batches: new ExampleBatches(sequences, { sequences: batch, length: context }, seed),
    limits: { rows: batch * context, sequenceLength: context },
    openSize: (round) => openFolder(platform, sizeFolder(out, round)),
    async saveSize(round, file, trained) {
      const folder = sizeFolder(out, round);
      await createRunFolder(folder);
      const open = (name: string) => createFileSink(path.join(folder, name));
      await saveWeights(file, trained, format, open);
      await saveModelDescription(file, format, open);
    },
    loadCheckpoint: (executor) => loadCheckpoint(out, executor, fingerprint),
    saveCheckpoint: (executor, state) => saveCheckpoint(out, executor, state),
    saveState: (state) =>
      writeTextFile(path.join(out, TRIM_STATE), `${JSON.stringify(state, undefined, 1)}\n`),
    now: () => platform.now(),
    signal,
    onStep: (round, step) => progress.step(round, step),
    onProgress: (what, done, total) => progress.work(what, done, total),
    onRound: (state) => progress.round(state),
  };
}

async function report(terminal: Terminal, flags: TrimFlags, state: TrimState): Promise<void> {
  const title = `${path.basename(flags.model)} on ${path.basename(flags.data)}`;
  const file = path.join(flags.out, REPORT);
  const { trimReportHtml } = await import("../report/trim-report.ts");
  await writeTextFile(file, trimReportHtml(title, state));
  const { chosen, test } = state;
  const model = sizeFolder(flags.out, chosen?.round ?? 0);
  if (flags.json === true) return printJson(terminal, { ...state, model, report: file });
  const tested = test === undefined ? "" : `; test ${formatTest(test)}`;
  const met = chosen?.meets === true ? "" : ", which does not meet the goal";
  printNote(
    terminal,
    `ended by ${state.end}: chosen size ${chosen?.round}${met}, model in ${model}, plot in ${file}${tested}`,
  );
}

/** The chosen size beside the whole model; of text, which has nothing to choose from, perplexity alone. */
function formatTest({ chosen, whole }: NonNullable<TrimState["test"]>): string {
  const perplexity = (report: ChoiceReport) => Math.exp(report.meanNll).toFixed(3);
  if (whole.chance === 1) return `perplexity ${perplexity(chosen)} (whole tuned model ${perplexity(whole)})`;
  const accuracy = (report: ChoiceReport) => `${(100 * report.accuracy).toFixed(2)} %`;
  return (
    `accuracy ${accuracy(chosen)}, perplexity ${perplexity(chosen)} ` +
    `(whole tuned model ${accuracy(whole)}, ${perplexity(whole)}, chance ${(100 * whole.chance).toFixed(1)} %)`
  );
}
