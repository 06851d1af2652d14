/**
 * The commands on a tiny model that `synth` writes: outputs, JSON shapes, exit codes, and one line for every mistake.
 */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const TINY = "d=64,ff=160,layers=2,heads=8,kv=4,vocab=512,ctx=256";
let folder: string;
let model: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-e2e-"));
  model = path.join(folder, "tiny.gguf");
  const outcome = await skim(["synth", "--shape", TINY, "--format", "f16", "--out", model]);
  expect(outcome).toMatchObject({ code: 0, stdout: "" });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const REFERENCE = ["--executor", "reference"];

describe("skim synth", () => {
  it("writes the same file for the same seed only, and leaves nothing else behind", async () => {
    const again = path.join(folder, "again.gguf");
    const other = path.join(folder, "other.gguf");
    await skim(["synth", "--shape", TINY, "--format", "f16", "--out", again]);
    await skim(["synth", "--shape", TINY, "--format", "f16", "--out", other, "--seed", "9"]);
    const [a, b, c] = await Promise.all([model, again, other].map((file) => readFile(file)));
    expect(a.equals(b)).toBe(true);
    expect(a.equals(c)).toBe(false);
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("writes every format so that the model talks", async () => {
    for (const format of ["q8_0", "q4_0"]) {
      const file = path.join(folder, `${format}.gguf`);
      const written = await skim([
        "synth",
        "--shape",
        TINY,
        "--layers",
        "1",
        "--format",
        format,
        "--out",
        file,
      ]);
      expect(written.code).toBe(0);
      const result = await skim(["run", "--model", file, "--prompt", "a", "-n", "3", "--json", ...REFERENCE]);
      expect(JSON.parse(result.stdout).tokenIds.length).toBeGreaterThan(0);
    }
  });
});

describe("skim run", () => {
  it("prints text alone on stdout, notes on stderr", async () => {
    const args = ["run", "--model", model, "--raw", "--prompt", "ab", "--seed", "3", "-n", "5", ...REFERENCE];
    const plain = await skim(args);
    const json = JSON.parse((await skim([...args, "--json"])).stdout);
    expect(plain.code).toBe(0);
    expect(plain.stdout).toBe(json.text);
    expect(plain.stderr).toMatch(/^\[prompt \d+ tokens, .*seed 3\]\n$/);
  });

  it("prints the documented JSON", async () => {
    const args = [
      "run",
      "--model",
      model,
      "--prompt",
      "ab",
      "--seed",
      "3",
      "-n",
      "5",
      "--json",
      ...REFERENCE,
    ];
    const { code, stdout } = await skim(args);
    const json = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(Object.keys(json)).toEqual([
      "text",
      "tokenIds",
      "promptTokenIds",
      "finishReason",
      "timing",
      "reads",
    ]);
    expect(Object.keys(json.timing)).toEqual([
      "loadMs",
      "prefillMs",
      "decodeMs",
      "prefillTokensPerSecond",
      "decodeTokensPerSecond",
    ]);
    expect(Object.keys(json.reads)).toEqual(["bytesPerToken", "byKind"]);
    expect(json.tokenIds).toHaveLength(5);
    expect(json.promptTokenIds[0]).toBe(1);
    expect(json.finishReason).toBe("length");
  });

  it("reads the prompt from a pipe and starts from BOS on an empty one", async () => {
    const args = ["run", "--model", model, "--raw", "--json", "-n", "1", ...REFERENCE];
    const piped = JSON.parse((await skim([...args, "--prompt", "-"], { stdin: "ab cd\n" })).stdout);
    const implied = JSON.parse((await skim(args, { stdin: "ab cd\n" })).stdout);
    const given = JSON.parse((await skim([...args, "--prompt", "ab cd"])).stdout);
    expect(piped.promptTokenIds).toEqual(given.promptTokenIds);
    expect(implied.promptTokenIds).toEqual(given.promptTokenIds);
    expect(JSON.parse((await skim([...args, "--prompt", ""])).stdout).promptTokenIds).toEqual([1]);
  });

  it("ends with 130 and what it has when interrupted", async () => {
    const args = ["run", "--model", model, "--raw", "--prompt", "ab", "-n", "250", "--logit-bias", "2:-1000"];
    const { code, stdout, stderr } = await skim([...args, ...REFERENCE], { interruptAfter: 1 });
    expect(code).toBe(130);
    expect(stdout.length).toBeGreaterThan(0);
    expect(stderr).toContain("aborted");
  });
});

describe("skim bench", () => {
  it("prints the documented JSON", async () => {
    const args = [
      "bench",
      "--model",
      model,
      "--prompt-tokens",
      "16",
      "--generated-tokens",
      "4",
      "--depth",
      "0,8",
    ];
    const { code, stdout } = await skim([...args, "--repetitions", "2", "--json", ...REFERENCE]);
    const json = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(Object.keys(json)).toEqual([
      "model",
      "parameters",
      "weightBytes",
      "threads",
      "roofline",
      "tests",
      "peakMemoryBytes",
      "runtime",
    ]);
    expect(json.parameters).toBe(2 * 512 * 64 + 64 + 2 * (2 * 64 + 64 * (64 + 32 + 32 + 64) + 3 * 64 * 160));
    expect(json.tests.map((test: { name: string }) => test.name)).toEqual([
      "pp16",
      "tg4",
      "pp16 @ d8",
      "tg4 @ d8",
    ]);
    expect(Object.keys(json.tests[0])).toEqual(["name", "tokensPerSecond", "bytesPerToken", "rooflineShare"]);
    expect(Object.keys(json.tests[0].tokensPerSecond)).toEqual(["mean", "stdev", "median"]);
  });

  it("measures lengths that the model can see when none are given", async () => {
    const args = ["bench", "--model", model, "--depth", "200", "--repetitions", "1", "--json"];
    const { code, stdout } = await skim(args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).tests.map((test: { name: string }) => test.name)).toEqual([
      "pp56 @ d200",
      "tg56 @ d200",
    ]);
  });
});

describe("skim eval perplexity", () => {
  it("prints the documented JSON, near the vocabulary size for random weights", async () => {
    const text = path.join(folder, "text.txt");
    await writeFile(text, "the cat sat on the mat and the dog lay on the log");
    const args = ["eval", "perplexity", "--model", model, "--text", text, "--protocol", "document", "--json"];
    const { code, stdout } = await skim([...args, ...REFERENCE]);
    const json = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(Object.keys(json)).toEqual([
      "perplexity",
      "meanNll",
      "tokensScored",
      "protocol",
      "context",
      "textSha256",
    ]);
    expect(json.perplexity).toBeGreaterThan(100);
    expect(json.perplexity).toBeLessThan(5000);
    expect(json.textSha256).toBe("6903f0cb55e2e9eadeb607c6a8f6cfc78efe2e7a62e5104c66ca181bf526f4df");
  });
});

describe("skim tokenize and inspect", () => {
  it("tokenizes an argument as it does stdin", async () => {
    const given = await skim(["tokenize", "--model", model, "--text", "ab ü"]);
    const piped = await skim(["tokenize", "--model", model, "--stdin", "--json"], { stdin: "ab ü" });
    const ids = JSON.parse(piped.stdout).tokenIds;
    expect(given.stdout).toBe(`${ids.join(" ")}\n`);
    expect(ids[0]).toBe(1);
    // U+00FC is in no token, so its two bytes are: ids 3 + 0xC3 and 3 + 0xBC.
    expect(ids.slice(-2)).toEqual([3 + 0xc3, 3 + 0xbc]);
  });

  it("inspects without loading weights", async () => {
    const { code, stdout } = await skim(["inspect", "--model", model, "--json", "--attended", "10"]);
    const json = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(json.hyperParameters).toMatchObject({
      width: 64,
      feedForwardWidth: 160,
      layers: 2,
      heads: 8,
      kvHeads: 4,
    });
    expect(json.formats.map((format: { name: string }) => format.name)).toEqual(["F16", "F32"]);
    expect(json.tokenizer).toMatchObject({ vocabularySize: 512, bosId: 1, eosId: 2 });
    // 10 positions of 2 layers' keys and values, 4 heads of 8, in f16
    expect(json.program.reads.byKind.keyValue).toBe(10 * 2 * 2 * 4 * 8 * 2);
    expect((await skim(["inspect", "--model", model])).stdout).toContain("blk.1.ffn_down.weight");
  });
});

describe("skim start", () => {
  it("shows the embedded models dense and reading less", async () => {
    const { code, stdout } = await skim(["start"]);
    expect(code).toBe(0);
    expect(stdout).toContain("npm start -- --model");
    const sizes = [...stdout.matchAll(/([\d.]+) MB read per token/g)].map(([, size]) => Number(size));
    expect(sizes).toHaveLength(5);
    const [calc, stating, tales, eightBits, pruned] = sizes;
    expect(stating).toBeLessThan(0.6 * calc);
    expect(eightBits).toBeLessThan(0.6 * tales);
    expect(pruned).toBeLessThan(0.8 * eightBits);
    expect(stdout).toMatch(/\(100 % of the context\)[\s\S]*\([4-9]\d % of the context\)/);
  });

  it("evaluates an expression, and nothing that is none", async () => {
    const { code, stdout } = await skim(["start", "(37 + 5) * (12 - 4)"]);
    expect(code).toBe(0);
    expect(stdout).toContain("(37+5)*(12-4)   (which is 336)");
    expect(stdout).toContain("37+5=42\n12-4=8\n");
    expect(stdout).not.toMatch(/@|<\|/);
    const wrong = await skim(["start", "3+x"]);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/got "x" at character 3/)]);
    expect((await skim(["start", "3+4", "--max-tokens", "3"])).code).toBe(2);
  });

  it("runs a model that is named, and the embedded one otherwise", async () => {
    const embedded = await skim(["start", "--prompt", "Once", "-n", "3", "--json"]);
    expect(JSON.parse(embedded.stdout).tokenIds).toHaveLength(3);
    const args = ["--model", model, "--raw", "--prompt", "ab", "--seed", "1", "-n", "4", ...REFERENCE];
    expect((await skim(["start", ...args])).stdout).toBe((await skim(["run", ...args])).stdout);
  });
});

describe("mistakes", () => {
  const cases: [name: string, args: () => string[], code: number, message: RegExp][] = [
    ["an unknown command", () => ["rnu"], 2, /unknown command 'rnu' \(Did you mean run\?\)/],
    [
      "an unknown flag",
      () => ["run", "--model", model, "--promt", "x"],
      2,
      /--promt.*Did you mean --prompt\?/,
    ],
    ["no model", () => ["run", "--prompt", "x"], 2, /--model/],
    ["no prompt", () => ["run", "--model", model], 2, /no prompt/],
    [
      "a bad number",
      () => ["run", "--model", model, "--prompt", "x", "--top-p", "2"],
      2,
      /--top-p.*from .* to 1/,
    ],
    ["a missing file", () => ["run", "--model", "/nowhere.gguf", "--prompt", "x"], 1, /\/nowhere\.gguf/],
    ["a folder without a model", () => ["run", "--model", folder, "--prompt", "x"], 1, /config\.json/],
    ["a chat without template", () => ["chat", "--model", model, ...REFERENCE], 1, /no chat template/],
    ["a long context", () => ["run", "--model", model, "--prompt", "x", "--context", "9999"], 2, /256.*9999/],
    [
      "an unknown shape",
      () => ["synth", "--shape", "lama-7b", "--format", "f16", "--out", "x"],
      2,
      /"llama-7b"/,
    ],
    [
      "a prompt longer than the context",
      () => ["run", "--model", model, "--raw", "--prompt", "x".repeat(300), ...REFERENCE],
      1,
      /30\d tokens do not fit a context of 256/,
    ],
    [
      "a missing text",
      () => ["eval", "perplexity", "--model", model, "--text", "/none.txt", "--protocol", "hf"],
      1,
      /\/none\.txt/,
    ],
  ];
  it.each(cases)("%s gets one line and a code", async (_, args, code, message) => {
    const outcome = await skim(args());
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toMatch(/^skim: /);
  });

  it("a truncated file gets one line and 1", async () => {
    const short = path.join(folder, "short.gguf");
    await writeFile(short, await readFile(model));
    await truncate(short, 100_000);
    const outcome = await skim(["run", "--model", short, "--prompt", "x", ...REFERENCE]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
