/**
 * `skim simulate` as a user runs it: figures that can be worked out by hand, sweeps, files, and one line for every
 * mistake.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFileSink } from "../../src/platform/node.ts";
import { TraceWriter } from "../../src/simulation/memory/trace-file.ts";
import { parseTransformerShape } from "../../src/simulation/model-shapes.ts";
import { skim } from "./skim-process.ts";

const TINY = "layers=2,d=64,ff=160,heads=8,kv=4,vocab=512";
// 8-bit weights without keys and values: head 64 * 512, attention 64 * 64 * 3 * 2, MLP 3 * 64 * 160 * 2
const PINNED = 64 * 512 + 64 * 64 * 3 * 2;
const MLP = 3 * 64 * 160 * 2;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-simulate-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const memory = (...flags: string[]) => skim(["simulate", "memory", ...flags]);

/** A trace of one sequence with the same two columns at every hook and token. */
async function writeTrace(file: string): Promise<void> {
  const shape = parseTransformerShape(TINY);
  const writer = new TraceWriter(await createFileSink(file), {
    shape,
    content: "columns",
    origin: "two columns",
  });
  writer.startSequence(3);
  for (let token = 0; token < 4; token++) {
    for (let record = 0; record < 4; record++) writer.addColumns(Int32Array.of(5, 9), 2);
    await writer.endToken();
  }
  await writer.finish();
}

describe("skim simulate memory", () => {
  it("sweeps every combination and writes the rows as CSV", async () => {
    const out = path.join(folder, "sweep.csv");
    const flags = [
      "--shape",
      TINY,
      "--weight-bits",
      "8",
      "--dram",
      `${(PINNED + MLP) / 1e9},1`,
      "--tokens",
      "4",
    ];
    const outcome = await memory(
      ...flags,
      ...["--context", "1100", "--kv-bits", "1", "--stream-pinned", "--density", "0.3,0.6"],
      ...["--policy", "lru,lfu", "--gamma", "1,0.2", "--flash-bandwidth", "1,2,4", "--out", out, "--json"],
    );
    expect(outcome.code).toBe(0);
    const report = JSON.parse(outcome.stdout);
    expect(report.simulated).toBe("simulated transfer-bound tokens/s");
    expect(report.trace.origin).toMatch(/synthetic scores, no model was run/);
    // DRAM x flash x (dense + densities x policies x gammas)
    expect(report.rows).toHaveLength(2 * 3 * (1 + 2 * 2 * 2));
    const lines = (await readFile(out, "utf8")).trim().split("\n");
    expect(lines).toHaveLength(1 + report.rows.length);
    expect(lines[0]).toMatch(/simulated_tokens_per_second/);
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("reads everything once and then finds it resident when all of it fits", async () => {
    const outcome = await memory(
      "--shape",
      TINY,
      "--weight-bits",
      "8",
      "--dram",
      "1",
      "--tokens",
      "10",
      "--json",
    );
    const [dense] = JSON.parse(outcome.stdout).rows;
    expect(dense.hitRate).toEqual({ input: 0.9, glu: 0.9 });
    expect(dense.flashBytesPerToken).toBe(MLP / 10);
    expect(dense.dramBytesPerToken).toBeCloseTo(0.9 * MLP, 6);
    // 2048 positions of 2 layers, 4 of 8 heads, keys and values of 2 bytes
    const keyValue = 2 * 1536 * 64 * 2 * 2 * 0.5;
    const seconds = (PINNED + keyValue + 0.9 * MLP) / 60e9 + MLP / 10 / 1e9;
    expect(dense.tokensPerSecond).toBeCloseTo(1 / seconds, 3);
  });

  it("replays a trace file with the shape it knows", async () => {
    const file = path.join(folder, "run.trace");
    await writeTrace(file);
    const outcome = await memory("--trace", file, "--policy", "lru", "--json");
    expect(outcome.code).toBe(0);
    const [, row] = JSON.parse(outcome.stdout).rows;
    expect(row).toMatchObject({ method: "recorded", hitRate: { input: 0.75, glu: 0.75 } });
    const text = await memory("--trace", file);
    expect(text.stdout).toMatch(/^SIMULATED transfer-bound tokens\/s/);
    expect(text.stdout).toMatch(/reads of DRAM and flash sequential/);
    expect(text.stdout).toMatch(/two columns/);
    expect((await memory("--trace", file, "--gamma", "0.5")).stderr).toMatch(/expected gamma 1 here/);
    expect((await memory("--trace", file, "--density", "0.5")).stderr).toMatch(/leave --density out/);
    expect((await memory("--trace", file, "--shape", TINY)).stderr).toMatch(
      /--shape describes synthetic traces/,
    );
    const rated = await memory("--trace", file, "--model", "none.gguf", "--text", "none.txt");
    expect(rated).toMatchObject({ code: 2, stdout: "" });
    expect(rated.stderr).toMatch(/the trace holds chosen columns, expected scores/);
  });

  it.each([
    [["--trace", "nothing.trace"], 1, /nothing\.trace/],
    [[], 2, /give --shape/],
    [["--shape", "phi-3-medum"], 2, /did you mean "phi-3-medium"/],
    [["--shape", "opt-6.7b", "--dram", "9"], 2, /no gated MLP/],
    [["--shape", TINY, "--device", "apple-a19"], 2, /did you mean "apple-a18"/],
    [["--shape", TINY, "--density", "0.0001"], 2, /density: out of range/],
    [["--shape", TINY, "--density", "0.5,x"], 2, /Expected a number from 0 to 1/],
    [["--shape", TINY, "--input-density", "0.5"], 2, /belong together/],
    [["--shape", TINY, "--policy", "fifo"], 2, /Expected names out of none, lru, lfu, belady/],
    [["--shape", TINY, "--policy", "belady", "--gamma", "0.5"], 2, /belady needs gamma 1/],
    [["--shape", TINY, "--top-m", "9", "--gamma", "0.5"], 2, /approximate caching replaces re-weighting/],
    [
      ["--shape", TINY, "--gamma", "0.5", "--warm-up", "--model", "m", "--text", "t"],
      2,
      /the engine prefers cached columns by gamma alone/,
    ],
    [["--shape", TINY, "--dram", "0.0001"], 2, /expected at most the 0\.000 GB of DRAM/],
    [["--shape", TINY, "--prompt-tokens", "5000", "--context", "100"], 2, /longer than/],
  ] as [string[], number, RegExp][])("refuses %o", async (flags, code, message) => {
    const outcome = await memory(...flags);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
    expect(outcome.stderr).toMatch(message);
  });

  it("refuses a file that is no trace", async () => {
    const file = path.join(folder, "junk.trace");
    await writeFile(file, "not a trace at all, but long enough");
    const outcome = await memory("--trace", file);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/is not a column trace/);
  });
});

describe("skim simulate record", () => {
  it("writes a trace of a run that memory replays at any density and gamma", async () => {
    const model = path.join(folder, "tiny.gguf");
    const text = path.join(folder, "text.txt");
    const trace = path.join(folder, "recorded.trace");
    await skim([
      "synth",
      "--shape",
      "d=64,ff=160,layers=2,heads=8,kv=4,vocab=512",
      "--format",
      "f16",
      "--out",
      model,
    ]);
    await writeFile(text, "the quick brown fox jumps over the lazy dog. ".repeat(8));
    const record = ["simulate", "record", "--model", model, "--text", text, "--out", trace];
    const written = await skim([...record, "--prompt-tokens", "4", "--tokens", "12", "--sequences", "2"]);
    expect(written).toMatchObject({ code: 0, stdout: "" });
    const flags = ["--density", "0.4,0.6", "--gamma", "1,0.3", "--policy", "none,lfu", "--dram", "0.00015"];
    const report = JSON.parse((await memory("--trace", trace, ...flags, "--json")).stdout);
    expect(report.trace.sequences).toEqual(new Array(2).fill({ promptTokens: 4, tokens: 12 }));
    expect(report).toMatchObject({ promptLength: 4, sequenceLength: 16 });
    // dense, and per density: none, lfu, lfu with the preference
    expect(report.rows).toHaveLength(1 + 2 * 3);
    const [, none, plain, preferring] = report.rows;
    expect(none.hitRate).toEqual({ input: 0, glu: 0 });
    expect(preferring.flashBytesPerToken).toBeLessThan(plain.flashBytesPerToken);
    const plots = path.join(folder, "plots");
    const rated = ["--model", model, "--text", text, "--characters", "120", "--plots", plots];
    const csv = path.join(folder, "rated.csv");
    const outcome = await memory("--trace", trace, ...flags, ...rated, "--out", csv, "--json");
    const { rows, quality } = JSON.parse(outcome.stdout);
    expect(quality).toMatchObject({ protocol: "hf", characters: 120 });
    const perplexities = rows.map(({ perplexity }: { perplexity: number }) => perplexity);
    // Without preference the cache changes nothing; with it, other columns are chosen.
    expect(perplexities[2]).toBe(perplexities[1]);
    expect(new Set(perplexities).size).toBe(1 + 2 * 2);
    expect(perplexities.every((perplexity: number) => perplexity > 1)).toBe(true);
    expect((await readFile(csv, "utf8")).split("\n")[1].split(",").at(-1)).toBe(String(perplexities[0]));
    const speed = await readFile(path.join(plots, "perplexity.speed.svg"), "utf8");
    expect(speed).toMatch(/^<svg|^<\?xml/);
    expect(speed).toContain("simulated tokens per second");
    expect(await readFile(path.join(plots, "perplexity.memory.svg"), "utf8")).toContain(
      "MB that decoding reads",
    );
    expect((await memory("--trace", trace, "--model", model)).stderr).toMatch(
      /--model and --text belong together/,
    );
    const wider = await memory("--shape", TINY.replace("ff=160", "ff=192"), "--model", model, "--text", text);
    expect(wider).toMatchObject({ code: 2, stdout: "" });
    expect(wider.stderr).toMatch(/width 64 and feed-forward width 160, expected 64 and 192 as /);
    const short = await skim([...record, "--sequences", "500"]);
    expect(short.code).toBe(2);
    expect(short.stderr).toMatch(/the text has \d+ tokens, expected at least/);
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });
});

describe("skim simulate accelerator", () => {
  const accelerator = (...flags: string[]) => skim(["simulate", "accelerator", ...flags]);

  it("reports every model, number of rows and design, labelled as simulated", async () => {
    const outcome = await accelerator();
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^SIMULATED cycles, time and energy/);
    for (const model of ["opt-6.7b", "llama-2-7b", "phi-3-medium"]) {
      expect(outcome.stdout).toContain(`${model}, 2048 rows, one layer, linears only`);
      expect(outcome.stdout).toContain(`${model}, 1 row, one layer, linears only`);
    }
    expect(outcome.stdout.match(/^\| tender int[48]/gm)).toHaveLength(3 * 2 * 2);
  });

  it("gives the numbers of the cycle model and takes every input", async () => {
    const outcome = await accelerator(
      ...["--shape", "llama-2-7b", "--rows", "256", "--bits", "4", "--groups", "14"],
      ...["--energy", "mac4=1,dram=0,sram=0,vector=0", "--clock", "2", "--vector-lanes", "32", "--json"],
    );
    const report = JSON.parse(outcome.stdout);
    expect(report.simulated).toBe("simulated cycles, time and energy");
    expect(report.hardware).toMatchObject({
      name: "array-64, changed",
      clockHz: 2e9,
      vectorLanes: 32,
      side: 64,
    });
    const [tender] = report.rows;
    expect(tender.matmuls[0].each.counts.cycles).toBe(1_100_544);
    // 256 rows times 202,375,168 weights at a picojoule each
    expect(tender.layer.energy.total).toBeCloseTo(256 * 202_375_168e-12, 9);
  });

  it("lists matmuls when asked", async () => {
    const outcome = await accelerator(
      "--shape",
      TINY,
      "--rows",
      "7",
      "--bits",
      "8",
      "--attended",
      "9",
      "--by-matmul",
    );
    expect(outcome.stdout).toContain("with attention over 9 positions");
    expect(outcome.stdout).toMatch(/scores \(4\) .* 14 x 8 x 9 /);
  });

  it.each([
    [["--shape", "opt-7b"], /did you mean "opt-6\.7b"/],
    [["--bits", "16"], /Expected 4, 8 or both/],
    [["--hardware", "array-46"], /did you mean "array-64"/],
    [["--array-side", "30"], /expected a multiple of 4, got 30/],
    [["--energy", "flops=3"], /Expected names out of mac4, mac8/],
    [["--energy", "dram=cheap"], /Expected a number from 0/],
    [["--rows", "0"], /Expected a whole number of at least 1/],
  ] as [string[], RegExp][])("refuses %o", async (flags, message) => {
    const outcome = await accelerator(...flags);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
    expect(outcome.stderr).toMatch(message);
  });
});
