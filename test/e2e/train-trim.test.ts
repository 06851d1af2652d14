/**
 * `skim train trim` on a toy model that has learned who owns what, with a layer that does nothing planted in it: that layer
 * goes first, an interrupted run ends as an uninterrupted one, frozen weights stay as they were, and every way to stop stops.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeModelFolder } from "../../src/formats/folder-writer.ts";
import { openModelFile } from "../../src/formats/open-model-file.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors-reader.ts";
import { loadTrainableProgram } from "../../src/methods/recipes.ts";
import type { TrimState } from "../../src/methods/trimllm/trim-state.ts";
import { readDecodedRows } from "../../src/models/decoded-rows.ts";
import { createFolderSink, nodePlatform } from "../../src/platform/node.ts";
import { memorySource } from "../../src/platform/memory.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../src/quantization/float16.ts";
import { silence } from "../trimmed-models.ts";
import { skim } from "./skim-process.ts";

const NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal"];
const PLACES = ["park", "house", "school", "boat", "shop", "wood"];
const THINGS = [" ball", " door", " hat", " drum"];

let folder: string;
let toy: string;
let data: string;
let test: string;

/** Name and place decide the thing; 48 different questions, each in several wordings. */
function questions(): { prompt: string; options: string[]; answer: number }[] {
  const wordings = ["At the %p, what has %n? A", "Say what %n has at the %p: a", "%n is at the %p with a"];
  return wordings.flatMap((wording) =>
    NAMES.flatMap((name, n) =>
      PLACES.map((place, p) => ({
        prompt: wording.replace("%n", name).replace("%p", place),
        options: THINGS,
        answer: (n + p * (n % 3 === 0 ? 1 : 2)) % 4,
      })),
    ),
  );
}

function lines(values: readonly object[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join("");
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-trim-"));
  [toy, data, test] = ["toy", "questions.jsonl", "test.jsonl"].map((name) => path.join(folder, name));
  const all = questions();
  const examples = all.map(({ prompt, options, answer }) => ({ prompt, answer: options[answer] }));
  const learned = path.join(folder, "examples.jsonl");
  await writeFile(learned, lines(examples));
  await writeFile(data, lines(all.filter((_, i) => i % 8 !== 0)));
  await writeFile(test, lines(all.filter((_, i) => i % 8 === 0)));
  const shape = ["--vocabulary", "300", "--layers", "3", "--width", "32", "--heads", "4", "--context", "32"];
  const loop = ["--batch", "24", "--steps", "250", "--learning-rate", "0.01", "--threads", "2"];
  const made = await skim(["train", "--data", learned, "--out", `${toy}-whole`, ...shape, ...loop]);
  expect(made.code, made.stderr).toBe(0);
  // The layer in the middle loses its outputs, the rest learns to do without it.
  const base = await openModelFile(nodePlatform(), `${toy}-whole`);
  const { program } = await loadTrainableProgram(base);
  const planted = silence(base, program, [
    { layer: 1, kind: "attention" },
    { layer: 1, kind: "mlp" },
  ]);
  const sink = await createFolderSink(toy);
  await writeModelFolder(planted, sink.open);
  await sink.finish();
  await base.close();
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const SPLITS = ["--calibration", "60", "--validation", "40", "--context", "32", "--threads", "1"];

function trim(name: string, flags: readonly string[], options = {}) {
  const out = path.join(folder, name);
  return skim(["train", "trim", "--model", toy, "--data", data, "--out", out, ...SPLITS, ...flags], options);
}

async function stateOf(name: string): Promise<TrimState> {
  return JSON.parse(await readFile(path.join(folder, name, "trim.json"), "utf8"));
}

/** Without what a clock says. */
function withoutTimes(state: TrimState): unknown {
  return JSON.parse(JSON.stringify(state, (key, value) => (/Seconds$|^loss$/.test(key) ? undefined : value)));
}

async function tensorOf(model: string, name: string): Promise<Float32Array> {
  const file = await openModelFile(nodePlatform(), path.join(folder, model));
  const info = file.tensors.get(name);
  if (info === undefined) throw new Error(`${model}: no ${name}`);
  const count = info.shape.reduce((product, size) => product * size, 1);
  const values = new Float32Array(count);
  await readDecodedRows(file, info, 0, count / (info.shape.at(-1) ?? 1), values);
  await file.close();
  return values;
}

/** Blocks whose optimizer state the checkpoint holds. */
async function momentsOf(name: string): Promise<number[]> {
  const bytes = await readFile(path.join(folder, name, "training.checkpoint"));
  const { tensors } = await readSafetensorsHeader(memorySource(name, bytes));
  const blocks = tensors.flatMap(({ info }) => {
    const block = /^(?:first|second)\/.*layers\.(\d+)\./.exec(info.name)?.[1];
    return block === undefined ? [] : [Number(block)];
  });
  return [...new Set(blocks)].sort((a, b) => a - b);
}

describe("skim train trim", () => {
  const flags = [
    "--select",
    "loss",
    "--trained-share",
    "0.67",
    "--steps",
    "15",
    "--learning-rate",
    "0.004",
    "--weights",
    "f32",
  ];

  it("drops exactly the planted useless layer first, trains only what it says, tests once", async () => {
    const run = await trim("planted", [...flags, "--most-units", "3", "--test", test, "--json"]);
    expect(run.code, run.stderr).toBe(0);
    const state = await stateOf("planted");
    expect(state.rounds.map(({ dropped }) => dropped)).toHaveLength(4);
    expect(
      state.rounds
        .slice(1, 3)
        .flatMap(({ dropped }) => dropped)
        .toSorted(),
    ).toEqual(["1.attention", "1.mlp"]);
    expect(state.trained).toMatchObject({ blocks: [0, 2], frozenShare: expect.closeTo(0.33, 10) });
    expect(state.deletions).toBe(6 + 6 + 5 + 4);
    expect(state.end).toBe("units");
    const [first, second, third] = state.rounds.map(({ result }) => result);
    expect(second?.size.tensorBytes).toBeLessThan(first?.size.tensorBytes ?? 0);
    expect(third?.size.keyValueBytes).toBe(((first?.size.keyValueBytes ?? 0) * 2) / 3);
    expect(first?.validation.chance).toBe(0.25);
    expect(first?.validation.accuracy).toBeGreaterThan(0.6);
    expect(state.test?.chosen.questions).toBe(18);
    // Block 1 is frozen: not a bit of it changed, though the blocks beside it did.
    const frozen = "model.layers.1.self_attn.q_proj.weight";
    expect(await tensorOf("planted/size-00", frozen)).toEqual(await tensorOf("toy", frozen));
    const trained = "model.layers.0.self_attn.q_proj.weight";
    expect(await tensorOf("planted/size-00", trained)).not.toEqual(await tensorOf("toy", trained));

    const { report, model } = JSON.parse(run.stdout);
    const choice = ["eval", "choice", "--model", model, "--data", test, "--kv-format", "f32", "--json"];
    const scored = await skim(choice);
    expect(JSON.parse(scored.stdout)).toMatchObject({
      accuracy: state.test?.chosen.accuracy,
      meanNll: expect.closeTo(state.test?.chosen.meanNll ?? 0, 6),
      tooLong: 0,
    });
    expect(await readFile(report, "utf8")).toMatch(/<svg[\s\S]*chance 25.0 %/);
    const eight = ["--weight-format", "q8", "--raw", "--temperature", "0", "--max-tokens", "2"];
    const answer = await skim(["run", "--model", model, "--prompt", "Ada is at the park with a", ...eight]);
    expect(answer.code, answer.stderr).toBe(0);
  });

  it("ends the same after an interruption", async () => {
    const run = await trim("whole", [...flags, "--most-units", "2", "--checkpoint-every", "2"]);
    expect(run.code, run.stderr).toBe(0);
    const options = { interruptOn: "size 0  whole" };
    const stopped = await trim("parts", [...flags, "--most-units", "2", "--checkpoint-every", "2"], options);
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/--resume continues/);
    const other = await trim("parts", [...flags, "--most-units", "3", "--resume"]);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/belongs to another run/);
    const resumed = await trim("parts", [
      ...flags,
      "--most-units",
      "2",
      "--checkpoint-every",
      "2",
      "--resume",
    ]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(withoutTimes(await stateOf("parts"))).toEqual(withoutTimes(await stateOf("whole")));
    const weights = (name: string) => readFile(path.join(folder, name, "size-02", "model.safetensors"));
    expect((await weights("parts")).equals(await weights("whole"))).toBe(true);
  });

  it.each([
    ["accuracy", ["--least-accuracy", "1"], "quality", 1],
    ["bytes", ["--most-bytes", "99MB"], "bytes", 1],
    ["layers until one is left", ["--unit", "layer"], "empty", 3],
    ["all at once", ["--units-per-round", "9", "--select", "norm"], "empty", 2],
    ["one block trained", ["--trained-share", "0.34", "--select", "loss", "--most-units", "1"], "units", 2],
    ["adapters", ["--adapters", "4", "--steps", "3", "--select", "loss", "--most-units", "2"], "units", 3],
    ["random order", ["--select", "random", "--most-units", "1"], "units", 2],
    ["block influence", ["--select", "influence", "--unit", "layer", "--most-units", "1"], "units", 2],
  ])("stops: %s", async (name, stop, end, sizes) => {
    const run = await trim(name, ["--steps", "1", ...stop]);
    expect(run.code, run.stderr).toBe(0);
    const state = await stateOf(name);
    expect([state.end, state.rounds.length]).toEqual([end, sizes]);
    const folders = (await readdir(path.join(folder, name))).filter((entry) => entry.startsWith("size-"));
    expect(folders).toHaveLength(sizes);
    if (name === "one block trained") expect(await momentsOf(name)).toEqual(state.trained?.blocks);
    if (name === "adapters") {
      // Merged: no tensor that the model did not have, other values in it than before.
      const query = "model.layers.0.self_attn.q_proj.weight";
      expect(await tensorOf("adapters/size-00", query)).not.toEqual(await tensorOf("toy", query));
      expect(await tensorOf("adapters/size-00", "model.embed_tokens.weight")).toEqual(
        (await tensorOf("toy", "model.embed_tokens.weight")).map((value) =>
          float16ToFloat32(float32ToFloat16(value)),
        ),
      );
    }
    if (name === "block influence") expect(state.rounds[1].dropped).toEqual(["1.attention", "1.mlp"]);
  });

  it("trims on plain text by its loss", async () => {
    const text = path.join(folder, "text.txt");
    const sentences = questions().map(({ prompt, options, answer }) => `${prompt}${options[answer]}.`);
    await writeFile(text, sentences.join("\n"));
    const other = path.join(folder, "other.txt");
    await writeFile(other, sentences.toReversed().join(" "));
    const out = path.join(folder, "text");
    const goal = ["--select", "loss", "--steps", "2", "--most-perplexity", "1", "--trained-share", "0.34"];
    const splits = ["--calibration", "10", "--validation", "10", "--context", "32", "--threads", "1"];
    const run = await skim([
      "train",
      "trim",
      "--model",
      toy,
      "--data",
      text,
      "--test",
      other,
      "--out",
      out,
      ...goal,
      ...splits,
    ]);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toMatch(/chosen size 0, which does not meet the goal/);
    expect(run.stderr).toMatch(/; test perplexity \d+\.\d+ \(whole tuned model \d+\.\d+\)/);
    expect(run.stderr).not.toMatch(/accuracy/);
    const state = await stateOf("text");
    expect([state.end, state.rounds.length, state.untuned?.chance]).toEqual(["quality", 1, 1]);
    expect(await readFile(path.join(out, "report.html"), "utf8")).toContain("validation perplexity");
  });

  it("refuses what cannot work, in one line", async () => {
    const plain = path.join(folder, "plain.jsonl");
    await cp(path.join(folder, "examples.jsonl"), plain);
    const out = ["--out", path.join(folder, "refused")];
    const call = (file: string, more: readonly string[] = []) =>
      skim(["train", "trim", "--model", toy, "--data", file, ...out, ...SPLITS, ...more]);
    const accuracy = await call(plain);
    expect(accuracy.code).toBe(2);
    expect(accuracy.stderr).toMatch(/has no options to choose from.*--select loss/);
    const few = await call(data, ["--calibration", "500"]);
    expect(few.code).toBe(1);
    expect(few.stderr).toMatch(/expected more than the 500 for calibration/);
    const again = await trim("planted", ["--steps", "1"]);
    expect(again.stderr).toMatch(/already holds a run/);
    const bad = path.join(folder, "bad.jsonl");
    await writeFile(bad, '{"prompt": "a", "options": ["b", "c"], "answer": 2}\n');
    expect((await call(bad)).stderr).toMatch(/line 1: expected/);
  });
});
