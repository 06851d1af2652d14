/**
 * `skim train` as a process on generated text: the model it writes runs, an interrupted run resumes to the same weights,
 * examples train, and every mistake is one line.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const NAMES = ["Ada", "Ben", "Cleo", "Dan"];
const THINGS = ["a red ball", "an old boat", "the blue door", "two green hats"];
const SHAPE = ["--vocabulary", "300", "--layers", "1", "--width", "32", "--heads", "4", "--context", "32"];
const LOOP = [
  "--batch",
  "4",
  "--steps",
  "24",
  "--evaluate-every",
  "8",
  "--learning-rate",
  "0.01",
  "--threads",
  "2",
];

let folder: string;
let text: string;
let valid: string;
let examples: string;

/** Sentences of four names and four things. */
function sentences(count: number, first: number): string {
  return Array.from({ length: count }, (_, i) => {
    const pick = (i * 7 + first + (i >> 3)) % 16;
    return `${NAMES[pick % 4]} sees ${THINGS[pick >> 2]}.`;
  }).join("\n");
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-train-"));
  [text, valid, examples] = ["train.txt", "valid.txt", "examples.jsonl"].map((name) =>
    path.join(folder, name),
  );
  await writeFile(text, `${sentences(600, 0)}<|endoftext|>${sentences(300, 5)}`);
  await writeFile(valid, sentences(60, 3));
  const lines = THINGS.map((thing) => JSON.stringify({ prompt: `Who sees ${thing}?`, answer: " Ada." }));
  await writeFile(examples, `${lines.join("\n")}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("skim train", () => {
  it("writes a model that runs, resumes an interrupted run to the same weights", async () => {
    const [whole, parts] = ["whole", "parts"].map((name) => path.join(folder, name));
    const flags = ["train", "--data", text, "--valid", valid, ...SHAPE, ...LOOP];
    const first = await skim([...flags, "--out", whole, "--json"]);
    expect(first.code, first.stderr).toBe(0);
    const summary = JSON.parse(first.stdout);
    expect(summary).toMatchObject({ reason: "done", step: 24, tokens: 24 * 4 * 32, out: whole });
    expect(summary.perplexity).toBeLessThan(60);
    const stated = `activations ${(summary.activationBytes / 1e6).toFixed(0)} MB`;
    expect(summary.activationBytes).toBeGreaterThan(1e5);
    expect(first.stderr).toContain(stated);
    expect(await readFile(path.join(whole, "training-report.html"), "utf8")).toContain("recomputed: none");
    expect((await readdir(whole)).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
      "training-log.jsonl",
      "training-report.html",
      "training.checkpoint",
    ]);
    const html = await readFile(path.join(whole, "training-report.html"), "utf8");
    expect(html).toContain("24, 3072");
    expect(html).toContain(`at step ${summary.best.step}`);
    const run = await skim([
      "run",
      "--model",
      whole,
      "--raw",
      "--prompt",
      "Ada",
      "--temperature",
      "0",
      "--json",
    ]);
    expect(run.code, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout).tokenIds.length).toBeGreaterThan(0);

    const stopped = await skim([...flags, "--out", parts], { interruptOn: "step 8  validation" });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/checkpoint saved/);
    const resumed = await skim([...flags, "--out", parts, "--resume", "--threads", "1"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    for (const name of ["model.safetensors", "training.checkpoint"]) {
      const [a, b] = await Promise.all([whole, parts].map((run) => readFile(path.join(run, name))));
      expect(a.equals(b), name).toBe(true);
    }
    const steps = (await readFile(path.join(parts, "training-log.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter((entry) => "loss" in entry)
      .map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
  });

  it("trains an existing model further on examples", async () => {
    const [base, tuned] = ["base", "tuned"].map((name) => path.join(folder, name));
    const made = await skim(["train", "--data", text, ...SHAPE, ...LOOP, "--steps", "4", "--out", base]);
    expect(made.code, made.stderr).toBe(0);
    const flags = ["train", "--model", base, "--data", examples, "--context", "32", ...LOOP, "--steps", "60"];
    const outcome = await skim([...flags, "--recompute", "sublayers", "--weights", "f16", "--out", tuned]);
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(outcome.stderr).toMatch(/4 examples, 0 longer/);
    const prompt = ["--prompt", "Who sees the blue door?", "--temperature", "0", "--max-tokens", "8"];
    const answer = await skim(["run", "--model", tuned, "--raw", ...prompt, "--json"]);
    expect(JSON.parse(answer.stdout)).toMatchObject({ text: " Ada.", finishReason: "stop" });
  });

  it("tunes a model with adapters, which are merged when saved and resume exactly", async () => {
    const [base, tuned, parts] = ["lora-base", "lora", "lora-parts"].map((name) => path.join(folder, name));
    const made = await skim(["train", "--data", text, ...SHAPE, ...LOOP, "--steps", "40", "--out", base]);
    expect(made.code, made.stderr).toBe(0);
    const loop = ["--batch", "4", "--steps", "80", "--learning-rate", "0.02", "--threads", "1"];
    const flags = [
      "train",
      "--model",
      base,
      "--data",
      examples,
      "--context",
      "32",
      ...loop,
      "--valid",
      examples,
      "--evaluate-every",
      "16",
      "--lora-rank",
      "8",
    ];
    const outcome = await skim([...flags, "--checkpoint-every", "20", "--out", tuned]);
    expect(outcome.code, outcome.stderr).toBe(0);
    const prompt = ["--prompt", "Who sees the blue door?", "--temperature", "0", "--max-tokens", "8"];
    const answer = await skim(["run", "--model", tuned, "--raw", ...prompt, "--json"]);
    expect(JSON.parse(answer.stdout)).toMatchObject({ text: " Ada.", finishReason: "stop" });
    const inspected = await Promise.all(
      [base, tuned].map(async (model) =>
        JSON.parse((await skim(["inspect", "--model", model, "--json"])).stdout),
      ),
    );
    expect(inspected[1].tensors).toEqual(inspected[0].tensors);

    const stopped = await skim([...flags, "--checkpoint-every", "20", "--out", parts], {
      interruptOn: "step 16  validation",
    });
    expect(stopped.code).toBe(130);
    const other = await skim([...flags, "--lora-alpha", "1", "--out", parts, "--resume"]);
    expect(other.stderr).toMatch(/belongs to another run/);
    const resumed = await skim([...flags, "--checkpoint-every", "20", "--out", parts, "--resume"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const [a, b] = await Promise.all(
      [tuned, parts].map((run) => readFile(path.join(run, "model.safetensors"))),
    );
    expect(a.equals(b)).toBe(true);
  });

  it("learns from a teacher, in the teacher's vocabulary alone", async () => {
    const [master, pupil, other] = ["master", "pupil", "other"].map((name) => path.join(folder, name));
    const make = ["train", "--data", text, ...SHAPE, ...LOOP];
    const made = await skim([...make, "--steps", "60", "--out", master]);
    expect(made.code, made.stderr).toBe(0);
    const start = ["train", "--data", text, "--tokenizer", master, "--layers", "1", "--width", "32"];
    const flags = [...start, "--heads", "4", "--context", "32", ...LOOP, "--teacher", master];
    const taught = await skim([...flags, "--valid", valid, "--out", pupil]);
    expect(taught.code, taught.stderr).toBe(0);
    expect(taught.stderr).toMatch(/teacher: .* of weights/);
    const distances = (await readFile(path.join(pupil, "training-log.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).teacher)
      .filter((distance) => distance !== undefined);
    expect(distances).toHaveLength(24);
    expect(distances[23]).toBeLessThan(0.5 * distances[0]);
    expect(await readFile(path.join(pupil, "training-report.html"), "utf8")).toContain("to the teacher");

    const stranger = await skim([...make, "--vocabulary", "290", "--teacher", master, "--out", other]);
    expect(stranger.code).toBe(2);
    expect(stranger.stderr).toMatch(
      /^skim: .*master: the teacher has a vocabulary of 300, expected the student's 290 - /m,
    );
  });

  it.each([
    ["a weight without a teacher", ["--data", "TEXT", "--teacher-weight", "0.5"], 2, /without --teacher/],
    ["adapters of nothing", ["--data", "TEXT", "--lora-rank", "4"], 2, /tunes a model - add --model/],
    [
      "targets without a rank",
      ["--data", "TEXT", "--lora-targets", "attention.query"],
      2,
      /without --lora-rank/,
    ],
    ["a missing file", ["--data", "nowhere.txt"], 1, /nowhere\.txt: the text cannot be read/],
    ["too little text", ["--data", "VALID", "--context", "4000"], 1, /tokens, expected at least 8001/],
    ["a vocabulary the text cannot fill", ["--data", "VALID", "--vocabulary", "5000"], 2, /vocabulary/],
    ["a width that is no multiple", ["--data", "TEXT", "--width", "30", "--heads", "4"], 2, /width 30/],
    ["an unknown line", ["--data", "BAD"], 1, /line 2: answer/],
    ["nothing to resume", ["--data", "TEXT", "--resume"], 2, /no training\.checkpoint/],
    ["a folder in use", ["--data", "TEXT", "--out", "FOLDER"], 2, /already holds/],
    ["a shape for a model that has one", ["--data", "TEXT", "--model", "x", "--layers", "2"], 2, /--model/],
    ["a GGUF to train", ["--data", "TEXT", "--model", "GGUF"], 1, /Hugging Face folder/],
  ])("%s is one line", async (_, args, code, message) => {
    const used = path.join(folder, "used");
    const bad = path.join(folder, "bad.jsonl");
    const gguf = path.join(folder, "tiny.gguf");
    await writeFile(bad, '{"prompt": "a", "answer": "b"}\n{"prompt": "a"}\n');
    const shape = "d=64,ff=160,layers=1,heads=8,kv=4,vocab=512,ctx=64";
    if (args.includes("GGUF")) await skim(["synth", "--shape", shape, "--format", "f16", "--out", gguf]);
    if (args.includes("FOLDER")) {
      await skim(["train", "--data", text, ...SHAPE, "--batch", "1", "--steps", "1", "--out", used]);
    }
    const places: Readonly<Record<string, string>> = {
      TEXT: text,
      VALID: valid,
      BAD: bad,
      FOLDER: used,
      GGUF: gguf,
    };
    const own = args.map((arg) => places[arg] ?? arg);
    const small = args.includes("--model") ? [] : SHAPE;
    const outcome = await skim(["train", "--out", path.join(folder, "none"), ...small, ...own]);
    expect(outcome.stderr.trim().split("\n").at(-1)).toMatch(message);
    expect(outcome.stderr).not.toMatch(/ {4}at /);
    expect(outcome.code).toBe(code);
  });
});
