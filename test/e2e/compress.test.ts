/**
 * `skim compress` and `skim eval quantization` as processes: what they write loads, what is wrong gets one line and an exit
 * code, and a run that is stopped or killed leaves no half-written folder under the final name.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { skim } from "./skim-process.ts";

let folder: string;
let model: string;
let text: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-compress-"));
  model = path.join(folder, "tiny.gguf");
  text = path.join(folder, "text.txt");
  const shape = "d=64,ff=160,layers=2,heads=8,kv=4,vocab=512,ctx=256";
  expect(await skim(["synth", "--shape", shape, "--format", "f16", "--out", model])).toMatchObject({
    code: 0,
  });
  const words = Array.from({ length: 400 }, (_, i) => "the cat sat on a mat and saw".split(" ")[(i * i) % 8]);
  await writeFile(text, words.join(" "));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const tender = (out: string, ...more: string[]) =>
  skim(["compress", "tender", "--model", model, "--text", text, "--out", path.join(folder, out), ...more]);

describe("skim compress tender", () => {
  test("writes a folder that run, eval and inspect load", async () => {
    const outcome = await tender("w4a8", "--bits", "8", "--weight-bits", "4", "--json");
    expect(outcome.code).toBe(0);
    const out = path.join(folder, "w4a8");
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      out,
      activationBits: 8,
      weightBits: 4,
      chunkRows: null,
    });
    expect((await readdir(out)).sort()).toEqual(["config.json", "metadata.gguf", "model.safetensors"]);
    const config = JSON.parse(await readFile(path.join(out, "config.json"), "utf8"));
    expect(config.skim.recipes[0]).toMatchObject({
      method: "tender",
      version: 1,
      settings: { weightBits: 4 },
    });
    for (const executor of ["wasm", "reference"]) {
      const run = await skim([
        "run",
        "--model",
        out,
        "--prompt",
        "a",
        "-n",
        "4",
        "--json",
        "--executor",
        executor,
      ]);
      expect(JSON.parse(run.stdout).tokenIds.length).toBeGreaterThan(0);
    }
    const score = await skim([
      "eval",
      "perplexity",
      "--model",
      out,
      "--text",
      text,
      "--protocol",
      "gptq",
      "-c",
      "64",
      "--json",
    ]);
    expect(JSON.parse(score.stdout).perplexity).toBeGreaterThan(1);
    const inspection = JSON.parse((await skim(["inspect", "--model", out, "--json"])).stdout);
    expect(inspection.program.ops.some((op: { text: string }) => op.text.includes("tenderLinear"))).toBe(
      true,
    );
    expect(inspection.formats.map(({ name }: { name: string }) => name)).toContain("I4");
  });

  test("makes attention of integers too, in a folder that loads", async () => {
    const outcome = await tender("all", "--bits", "8", "--attention", "--json");
    expect(outcome.code).toBe(0);
    const inspected = await skim(["inspect", "--model", path.join(folder, "all"), "--json"]);
    const { program } = JSON.parse(inspected.stdout);
    const attention = program.ops.filter((op: { text: string }) => op.text.includes("attention("));
    expect(attention.length).toBeGreaterThan(0);
    for (const op of attention) expect(op.text).toMatch(/codes to 127 in \d groups/);
    const run = ["run", "--model", path.join(folder, "all"), "--prompt", "Once", "--max-tokens", "4"];
    expect((await skim(run)).code).toBe(0);
  });

  test("searches for the rounding that loses less", async () => {
    const outcome = await tender("searched", "--bits", "8", "--rounding", "search", "--json");
    expect(outcome.code).toBe(0);
    const { rounding, roundingLosses } = JSON.parse(outcome.stdout);
    expect(rounding).toBe(roundingLosses.down < roundingLosses.up ? "down" : "up");
    const pointless = await tender("pointless", "--bits", "16", "--rounding", "search");
    expect(pointless).toMatchObject({ code: 2 });
    expect(pointless.stderr).toContain("--rounding search means nothing with --bits 16");
    expect(existsSync(path.join(folder, "pointless"))).toBe(false);
  });

  test("says what is wrong in one line and leaves nothing behind", async () => {
    const empty = path.join(folder, "empty.txt");
    const short = path.join(folder, "short.txt");
    await writeFile(empty, "");
    await writeFile(short, "the cat");
    const cases: readonly (readonly [string[], number, RegExp])[] = [
      [["--bits", "8", "--text", empty], 2, /calibration text: is empty/],
      [["--bits", "8", "--text", short, "--chunk-rows", "64"], 2, /expected at least 64, one chunk of rows/],
      [["--bits", "8", "--groups", "10"], 2, /--groups 10, expected at most 9 for 8-bit activations/],
      [["--bits", "5"], 2, /argument .5. is invalid\. Expected one of/],
      [["--bits", "16", "--attention"], 2, /--attention needs activations of 8 or 4 bits, got --bits 16/],
      [["--bits", "16", "--chunk-rows", "8"], 2, /--chunk-rows means nothing with --bits 16/],
      [["--bits", "8", "--text", path.join(folder, "none.txt")], 1, /the text cannot be read \(ENOENT\)/],
      [["--bits", "8", "--out", model], 1, /exists already, expected a new folder/],
    ];
    for (const [flags, code, message] of cases) {
      const outcome = await tender("refused", ...flags);
      expect(outcome).toMatchObject({ code, stdout: "" });
      expect(outcome.stderr.trimEnd()).toMatch(message);
      expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
    }
    expect((await readdir(folder)).filter((name) => /refused|partial/.test(name))).toEqual([]);
  });

  test("a killed run leaves nothing under the final name", async () => {
    const out = path.join(folder, "killed");
    const command = path.resolve(import.meta.dirname, "..", "..", "dist", "cli", "main.js");
    const args = ["compress", "tender", "--model", model, "--text", text, "--bits", "8", "--out", out];
    for (const signal of ["SIGKILL", "SIGINT"] as const) {
      const child = spawn(process.execPath, [command, ...args], { stdio: "ignore" });
      await new Promise<void>((resolve) => {
        const poll = setInterval(async () => {
          const begun = (await readdir(folder)).some((name) => name.startsWith("killed."));
          if (!begun && child.exitCode === null) return;
          clearInterval(poll);
          child.kill(signal);
          resolve();
        }, 5);
      });
      await new Promise((resolve) => (child.exitCode !== null ? resolve(0) : child.on("exit", resolve)));
      expect(existsSync(out)).toBe(false);
      const left = (await readdir(folder)).filter((name) => name.startsWith("killed."));
      if (signal === "SIGINT") expect(left).toEqual([]);
      for (const name of left) await rm(path.join(folder, name), { recursive: true });
    }
  });
});

test("skim compress input-groups writes 4-bit codes that load", async () => {
  const out = path.join(folder, "groups");
  const outcome = await skim(["compress", "input-groups", "--model", model, "--size", "32", "--out", out]);
  expect(outcome).toMatchObject({ code: 0, stdout: "" });
  const inspection = JSON.parse((await skim(["inspect", "--model", out, "--json"])).stdout);
  expect(inspection.formats.map(({ name }: { name: string }) => name)).toContain("Q4_0");
  const run = await skim(["run", "--model", out, "--prompt", "a", "-n", "4", "--json"]);
  expect(JSON.parse(run.stdout).tokenIds.length).toBeGreaterThan(0);
});

test("skim eval quantization prints one row per scheme", async () => {
  const schemes = ["f32", "Tender W8A8 flat", "SmoothQuant W8A8"];
  const outcome = await skim([
    ...["eval", "quantization", "--model", model, "--text", text, "--protocol", "gptq", "-c", "64", "--json"],
    ...["--prompt-tokens", "16", "--generated-tokens", "4", "--repetitions", "1", "--clipping"],
    ...schemes.flatMap((scheme) => ["--scheme", scheme]),
  ]);
  expect(outcome.code).toBe(0);
  const { rows } = JSON.parse(outcome.stdout);
  const named = Object.fromEntries(rows.map((row: { scheme: string }) => [row.scheme, row]));
  expect(Object.keys(named).sort()).toEqual([...schemes].sort());
  const [float, tenderRow, smooth] = schemes.map((scheme) => named[scheme]);
  expect(float.weightBytes).toBeGreaterThan(2 * tenderRow.weightBytes);
  expect(tenderRow.decodeTokensPerSecond).toBeGreaterThan(0);
  expect(smooth).toMatchObject({
    runs: "emulated",
    decodeTokensPerSecond: null,
    prefillTokensPerSecond: null,
  });
  expect(tenderRow.clippedShare).toBeGreaterThanOrEqual(0);
  expect(tenderRow.clippedShare).toBeLessThan(0.01);
  expect(float.clippedShare).toBeNull();
  expect(Math.abs(tenderRow.meanNll - float.meanNll)).toBeLessThan(0.05);
});

test("skim eval quantization refuses a scheme that it does not know, beside a known one too", async () => {
  const outcome = await skim([
    ...["eval", "quantization", "--model", model, "--text", text],
    ...["--scheme", "f32", "--scheme", "none"],
  ]);
  expect(outcome.code).toBe(2);
  expect(outcome.stderr).toMatch(/none.* is invalid\. Expected one of f32, /);
});
