/** Figures show what rows say: bounds from bytes, texts kept apart, what is not drawn named. */
import { expect, test } from "vitest";
import { readResultRows, type ResultRows } from "../result-rows.ts";
import { cacheFigures } from "./cache.ts";
import { compositionFigure } from "./composition.ts";
import { kernelsFigure } from "./kernels.ts";
import { memoryFigure, offloadFigure } from "./memory.ts";
import { sensitivityFigures, sparsityFigure, zerosFigures } from "./layers.ts";
import { variantFigures } from "./quality.ts";
import { simulatedQualityFigures } from "./simulated-quality.ts";
import { simulatedAcceleratorFigures, simulatedMemoryFigures } from "./simulated.ts";
import { attentionFigure, speedFigure } from "./speed.ts";

const ORIGIN = {
  date: "2026-01-01",
  commit: "0123456789abcdef",
  modified: false,
  machine: { cpu: "a cpu", cores: 2, os: "an os", node: "20.0.0" },
};

function read(...rows: object[]): ResultRows {
  const lines = rows.map((row) => JSON.stringify({ ...ORIGIN, ...row }));
  return readResultRows([{ name: "rows.jsonl", text: lines.join("\n") }]);
}

function variants(characters: number, ...models: [name: string, perplexity: number, bytes: number][]) {
  return {
    schema: "variants/1",
    command: `node bench/variants.mjs --text held-out.txt --characters ${characters} ${models.map(([name]) => name).join(" ")}`,
    protocol: "hf",
    threads: 2,
    variants: models.map(([name, perplexity, bytesPerToken], i) => ({
      name,
      model: "m",
      options: { name },
      perplexity,
      tokensScored: characters / 4,
      weightBytes: 1e6,
      bytesPerToken,
      decode: { values: [90, 100, 110] },
      ratioToFirst: 1 + i,
    })),
  };
}

test("variants on one text share a drawing, those on another do not", () => {
  const figures = variantFigures(
    read(
      variants(1000, ["other", 9, 1e6], ["other-q8", 10, 5e5]),
      variants(4000, ["dense", 10, 6e6], ["broken", 40, 1e6]),
      variants(4000, ["dense", 11, 6e6], ["q8", 10.5, 3e6]),
    ),
  );
  expect(figures.map(({ name, rows }) => [name, rows.length])).toEqual([
    ["quality", 2],
    ["quality-2", 1],
  ]);
  expect(figures[0].table.rows.map(([name, perplexity]) => [name, perplexity])).toEqual([
    ["dense", "11.00"],
    ["broken", "40.00"],
    ["q8", "10.50"],
  ]);
  expect(figures[0].svg).not.toContain(">broken<");
  expect(figures[0].caption).toContain(
    "Not drawn, beyond 1.5 times the best perplexity: broken (40.0 at 1.00 MB)",
  );
});

test("speeds are ratios of one run beside the bound by bytes", () => {
  const [figure] = speedFigure(
    read(
      {
        schema: "combinations/1",
        results: [
          { name: "q8", ratio: 1, byteRatio: 1 },
          { name: "q4, half of the columns", ratio: 2.5, byteRatio: 3 },
        ],
      },
      variants(4000, ["dense", 10, 6e6], ["q8", 10, 3e6]),
      {
        schema: "columns/1",
        model: { file: "shape.gguf" },
        roofline: { gigabytesPerSecond: 50 },
        settings: [
          { density: null, bytesPerToken: 1000, decode: { tokensPerSecond: 10 }, ratioToDense: 1 },
          { density: 0.5, bytesPerToken: 625, decode: { tokensPerSecond: 12 }, ratioToDense: 1.2 },
        ],
      },
    ),
  );
  expect(figure.table.rows).toEqual([
    ["columns (DIP), shape.gguf: density 0.5", "1.20", "1.60"],
    ["combinations, times q8: q4, half of the columns", "2.50", "3.00"],
    ["variants, times dense: q8", "2.00", "2.00"],
  ]);
  expect(figure.svg).not.toMatch(/NaN|undefined|Infinity/);
});

test("speeds of a single round are left out, company is noted", () => {
  const timed = variants(4000, ["dense", 10, 6e6], ["q8", 10, 3e6]);
  const once = { ...timed, command: "node bench/variants.mjs --text other.txt", variants: [] as object[] };
  once.variants = timed.variants.map((variant) => ({ ...variant, decode: { values: [100] } }));
  const [figure] = speedFigure(read({ ...timed, load: { otherCores: 1.25 } }, once));
  expect(figure.table.rows.map(([name]) => name)).toEqual([
    "variants, times dense (others kept 1.3 cores busy): q8",
  ]);
});

test("of offloaded models the newest row of each setting counts, and bytes are drawn", () => {
  const offload = {
    schema: "offload/1",
    model: "big",
    name: "lru",
    budget: "2GB",
    hitRate: 0.25,
    fileBytesPerToken: 1e9,
    memoryBytesPerToken: 3e9,
    promptFileBytes: 4e9,
    peakMemoryBytes: 1.5e9,
  };
  const rows = read(
    offload,
    { ...offload, schema: "offload/2", date: "2026-01-02", fileBytesPerToken: 5e8 },
    // Settings differ by name, with a command or, as in the first rows, without.
    {
      ...offload,
      schema: "offload/2",
      date: "2026-01-03",
      command: "--only lru",
      fileBytesPerToken: 4e8,
    },
    { ...offload, name: "dense", hitRate: 0, command: "--only dense" },
  );
  expect(memoryFigure(rows)[0].table.rows).toHaveLength(2);
  expect(offloadFigure(rows)[0].table.rows).toEqual([
    ["big, budget 2GB: dense, 0 % hits", "1.00", "3.00"],
    ["big, budget 2GB: lru, 25 % hits", "0.40", "3.00"],
  ]);
  expect(memoryFigure(read())).toEqual([]);
  expect(offloadFigure(read())).toEqual([]);
});

test("layers: zeros in %, perplexity without a sublayer as a multiple", () => {
  const [sparsity] = sparsityFigure(
    read({
      schema: "prosparse/1",
      base: { model: "m" },
      runs: [{ name: "relu", perplexity: 9, x1: { chosen: { layers: [0.5, 0.75] } } }],
    }),
  );
  expect(sparsity.table.rows).toEqual([["relu", "9.00", "50.0", "75.0"]]);
  const [sensitivity] = sensitivityFigures(
    read({
      schema: "sensitivity/1",
      model: "m",
      command: "node bench/sensitivity.mjs --text t.txt",
      perplexity: 10,
      units: [
        { layer: 0, kind: "attention", perplexity: 15 },
        { layer: 0, kind: "mlp", perplexity: 200 },
        { layer: 1, kind: "mlp", perplexity: 12 },
      ],
    }),
  );
  expect(sensitivity.table.rows).toEqual([
    ["layer 0", "1.50", "20.00"],
    ["layer 1", "", "1.20"],
  ]);
  expect(sensitivity.caption).toContain("Not drawn: layer 0 without mlp (20.0 times)");
});

test("perplexity beside simulated speed: a line per policy and gamma, settings far beyond the dense model left out", () => {
  const result = (method: string, gamma: number, density: number, perplexity: number) => ({
    ...{ method, policy: method === "dense" ? "pinned" : "lfu", gamma, density, perplexity },
    ...{ dramBytes: 2e6, flashBytesPerToken: 1e5, tokensPerSecond: 10 / density, memoryBytes: 4e6 * density },
  });
  const row = {
    schema: "simulated-memory/1",
    simulated: "simulated transfer-bound tokens/s",
    notModelled: ["compute"],
    device: "a phone",
    timing: "sequential",
    weightBits: 4,
    shape: "tiny",
    origin: "a trace",
  };
  const rated = {
    ...row,
    results: [result("dense", 1, 1, 10), result("dip", 1, 0.5, 11), result("dip-ca", 0.1, 0.5, 14)],
  };
  const [speed, memory] = simulatedQualityFigures(read(rated));
  expect(speed.svg).toContain("simulated tokens per second");
  expect(memory.svg).toContain("MB that decoding reads");
  expect(speed.caption).toMatch(/Speed is simulated, not measured.*1 settings beyond 1.3 times/);
  expect(speed.table.rows).toContainEqual(["lfu, gamma 0.1, 0.50", "2.00", "14.00", "20.00", "2.00"]);
  expect(speed.svg).not.toContain("gamma 0.1");
  const { perplexity: _, ...unrated } = result("dense", 1, 1, 10);
  const first = { ...row, command: "without quality", results: [unrated] };
  expect(simulatedQualityFigures(read(first))).toEqual([]);
  const figures = simulatedQualityFigures(read(first, { ...rated, command: "with quality" }));
  expect(figures.map(({ name }) => name)).toEqual(["simulated-quality-speed", "simulated-quality-memory"]);
});

test("what was simulated says so everywhere", () => {
  const rows = read(
    {
      schema: "simulated-memory/1",
      simulated: "simulated transfer-bound tokens/s",
      notModelled: ["compute"],
      device: "a phone",
      timing: "sequential",
      weightBits: 4,
      shape: "tiny",
      origin: "a trace",
      results: [
        ["dense", "pinned", 1, 10],
        ["dip", "lru", 1, 30],
        ["dip-ca", "lru", 0.2, 40],
      ].map(([method, policy, gamma, tokensPerSecond]) => ({
        ...{ method, policy, gamma, tokensPerSecond },
        density: 0.5,
        dramBytes: 2e6,
        flashBytesPerToken: 1e5,
      })),
    },
    {
      schema: "simulated-accelerator/1",
      simulated: "simulated cycles, time and energy",
      hardware: { name: "array" },
      results: [
        { model: "m", tokens: 1, name: "tender int4", bits: 4, seconds: 2, joules: 4 },
        { model: "m", tokens: 1, name: "groupwise int4", bits: 4, seconds: 3, joules: 5 },
      ],
    },
  );
  const [memory] = simulatedMemoryFigures(rows);
  const [accelerator] = simulatedAcceleratorFigures(rows);
  expect(memory.table.rows.map(([name, , , speed]) => [name, speed])).toEqual([
    ["dense", "10.00"],
    ["dip 0.50, lru", "30.00"],
    ["dip-ca 0.50, lru, gamma 0.2", "40.00"],
  ]);
  expect(accelerator.table.rows).toEqual([["m, decoding one token, 4 bits: groupwise int4", "1.50", "1.25"]]);
  for (const { title, caption, svg } of [memory, accelerator]) {
    expect(title).toMatch(/^Simulated: /);
    expect(caption).toMatch(/^Simulated, not measured: /);
    expect(svg).toMatch(/>simulated [a-z]+/);
  }
});

test("columns that a cache misses are those chosen and not held", () => {
  const [figure] = cacheFigures(
    read({
      schema: "cache-quality/1",
      model: "m",
      protocol: "hf",
      characters: 1000,
      share: 0.25,
      dense: { perplexity: 10 },
      cells: [
        { density: 0.5, gamma: 1, policy: "lfu", perplexity: 11, hitRate: 0.4 },
        { density: 0.5, gamma: 0.2, policy: "lfu", perplexity: 12, hitRate: 0.8 },
        { density: 0.2, gamma: 0.2, policy: "lfu", perplexity: 30, hitRate: 0.9 },
      ],
    }),
  );
  expect(figure.table.rows.map((row) => row[3])).toEqual(["30.0", "10.0", "2.0"]);
  expect(figure.caption).toContain("1 settings beyond 1.6 times the dense perplexity are not drawn");
  expect(figure.svg).toContain("gamma 0.2");
});

test("zeros by text and by layer", () => {
  const models = [
    ["silu", [0, 0.1]],
    ["relu", [0.6, 0.8]],
  ].map(([name, layers]) => ({
    name,
    densePerplexity: 10,
    zeros: [
      { text: "a.txt", sparsity: 0.7, layers },
      { text: "b.txt", sparsity: 0.5, layers },
    ],
    pplPercent: { percent: 1, sparsity: 0.9 },
  }));
  const [byText, byLayer] = zerosFigures(read({ schema: "sparsity/1", models }));
  expect(byText.table.rows[1]).toEqual(["relu", "90.0", "70.0", "50.0"]);
  expect(byText.table.head[1]).toContain("1 %");
  expect(byLayer.table.rows[1]).toEqual(["relu", "60.0", "80.0"]);
});

test("attention is as much faster as it takes less time", () => {
  const results = [
    { context: 1024, share: 1, timeRatio: 1, byteRatio: 1 },
    { context: 1024, share: 0.25, timeRatio: 0.5, byteRatio: 0.25 },
    { context: 1024, share: 0.25, span: 64, timeRatio: 0.4, byteRatio: 0.25 },
  ];
  const [figure] = attentionFigure(read({ schema: "attention/1", results }));
  expect(figure.table.rows).toEqual([
    ["1024 positions: 25 % attended to", "2.00", "4.00"],
    ["1024 positions: 25 % attended to in spans of 64", "2.50", "4.00"],
  ]);
});

test("pairs of methods stand where they were applied, losses coloured, refusals named", () => {
  const both = (followed: number, ignored: number) => ({ followed, ignored });
  const measured = (steps: string[], right: number) => ({
    steps,
    exact: both(right, right / 2),
    loss: both(0.25, 0.5),
    bytesPerToken: 1.5e6,
  });
  const [figure, ...others] = compositionFigure(
    read(
      { schema: "composition/1", command: "older", model: "m", results: [measured([], 0.5)] },
      {
        schema: "composition/1",
        date: "2026-01-02",
        command: "newer",
        model: "m",
        results: [
          measured([], 1),
          measured(["trim"], 0.2),
          measured(["dip"], 1),
          measured(["trim", "dip"], 0.2),
          { steps: ["dip", "trim"], refused: "no" },
          measured(["trim", "dip", "spans"], 0.1),
        ],
      },
    ),
  );
  expect(others).toEqual([]);
  expect(figure.rows.map(({ command }) => command)).toEqual(["newer"]);
  expect(figure.table.rows.map((row) => row.slice(0, 3))).toEqual([
    ["the model", "100.0", "50.0"],
    ["trim", "20.0", "10.0"],
    ["dip", "100.0", "50.0"],
    ["trim, dip", "20.0", "10.0"],
    ["dip, trim", "refused", ""],
    ["trim, dip, spans", "10.0", "5.0"],
  ]);
  const titles = [...figure.svg.matchAll(/<title>([^<]*)<\/title>/g)].map(([, text]) => text);
  expect(titles).toContain("trim, dip: 20 %, 1.50 MB, loss 0.2500");
  expect(titles).toContain("dip, trim: refused");
  expect(titles).toHaveLength(5);
  const opacities = [...figure.svg.matchAll(/<rect[^>]*fill-opacity="([^"]*)"/g)].map(([, value]) =>
    Number(value),
  );
  expect(opacities).toEqual([0, 0.36, 0, 0.36, 0]);
});

test("kernels are shares of the roofline of their own newest run", () => {
  const linear = (date: string, rooflineShare: number) => ({
    schema: "tender-linear/1",
    date,
    command: `node bench/kernels/tender-linear.mjs --megabytes ${date.slice(-1)}`,
    load: { averages: [1] },
    shape: { rows: 5632, columns: 2048, decodeThreads: 2 },
    best: [{ scheme: "q8", decodeGBs: 50.04, rooflineShare }],
  });
  const [figure] = kernelsFigure(
    read(linear("2026-01-02", 0.9), linear("2026-01-01", 0.5), {
      schema: "linear-columns/1",
      load: { otherCores: 1.06 },
      shape: { hidden: 64, feedForward: 128 },
      threads: 1,
      results: [
        { weights: "q8", density: null, medianGBs: 30, rooflineShare: 0.85 },
        { weights: "q8", density: 0.5, medianGBs: 17, rooflineShare: 0.49 },
      ],
    }),
  );
  expect(figure.table.rows).toEqual([
    ["linears, 5632 x 2048, threads: 2: q8", "90 %", "50.0"],
    ["gated units by columns, 64 x 128, threads: 1: q8, dense", "85 %", "30.0"],
    ["gated units by columns, 64 x 128, threads: 1: q8, density 0.5", "49 %", "17.0"],
  ]);
  expect(figure.svg).toContain("others kept 1.1 cores busy");
  expect(kernelsFigure(read())).toEqual([]);
});
