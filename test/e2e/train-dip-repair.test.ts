/**
 * `skim train dip-repair` as a process: adapters win back quality that skipped columns cost, an interrupted run resumes to the
 * same weights, adapters kept beside the model merge to the same folder, and mistakes are one line.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const NAMES = ["Ada", "Ben", "Cleo", "Dan"];
const THINGS = ["a red ball", "an old boat", "the blue door", "two green hats"];
const DENSITY = ["--density", "0.2"];

let folder: string;
let base: string;
let text: string;
let valid: string;

function sentences(count: number, first: number): string {
  return Array.from({ length: count }, (_, i) => {
    const pick = (i * 7 + first + (i >> 3)) % 16;
    return `${NAMES[pick % 4]} sees ${THINGS[pick >> 2]}.`;
  }).join("\n");
}

async function perplexity(model: string, ...flags: string[]): Promise<number> {
  const outcome = await skim([
    ...["eval", "perplexity", "--model", model, "--text", valid, "--protocol", "hf"],
    ...["--threads", "1", "--json", ...flags],
  ]);
  expect(outcome.code, outcome.stderr).toBe(0);
  return JSON.parse(outcome.stdout).perplexity;
}

const repair = (out: string, ...flags: string[]) => [
  ...["train", "dip-repair", "--model", base, "--data", text, "--context", "32", "--batch", "4"],
  ...["--steps", "60", "--learning-rate", "0.01", "--weight-decay", "0", "--checkpoint-every", "20"],
  ...[
    "--valid",
    valid,
    "--evaluate-every",
    "18",
    "--lora-rank",
    "8",
    "--threads",
    "1",
    "--out",
    out,
    ...flags,
  ],
];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-repair-"));
  [text, valid, base] = ["train.txt", "valid.txt", "base"].map((name) => path.join(folder, name));
  await writeFile(text, `${sentences(600, 0)}<|endoftext|>${sentences(300, 5)}`);
  await writeFile(valid, sentences(60, 3));
  const shape = ["--vocabulary", "300", "--layers", "2", "--width", "32", "--heads", "4", "--context", "32"];
  const loop = ["--batch", "4", "--steps", "80", "--learning-rate", "0.01", "--threads", "1"];
  const made = await skim(["train", "--data", text, ...shape, ...loop, "--out", base]);
  expect(made.code, made.stderr).toBe(0);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("skim train dip-repair", () => {
  it("wins back quality, resumes exactly, and adapters alone merge to the same model", async () => {
    const [whole, parts, kept, merged, pruned] = ["whole", "parts", "kept", "merged", "pruned"].map((name) =>
      path.join(folder, name),
    );
    const first = await skim([...repair(whole, ...DENSITY), "--json"]);
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toMatch(/teacher: /);
    expect(JSON.parse(first.stdout)).toMatchObject({ reason: "done", step: 60 });
    const config = JSON.parse(await readFile(path.join(whole, "config.json"), "utf8"));
    expect(config.skim.recipes).toMatchObject([{ method: "dynamic-input-pruning", input: {}, glu: {} }]);
    const [dense, unrepaired, repaired] = [
      await perplexity(base),
      await perplexity(base, ...DENSITY),
      await perplexity(whole),
    ];
    expect(unrepaired).toBeGreaterThan(1.05 * dense);
    // At least half of what was lost comes back.
    expect(repaired - dense).toBeLessThan(0.5 * (unrepaired - dense));

    const stopped = await skim(repair(parts, ...DENSITY), { interruptOn: "step 18  validation" });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/checkpoint saved/);
    const other = await skim(repair(parts, "--density", "0.3", "--resume"));
    expect(other.stderr).toMatch(/belongs to another run/);
    const resumed = await skim(repair(parts, ...DENSITY, "--resume"));
    expect(resumed.code, resumed.stderr).toBe(0);

    const alone = await skim(repair(kept, ...DENSITY, "--lora-keep"), { interruptOn: "step 18  validation" });
    expect(alone.code).toBe(130);
    const finished = await skim(repair(kept, ...DENSITY, "--lora-keep", "--resume"));
    expect(finished.code, finished.stderr).toBe(0);
    expect((await readdir(kept)).filter((name) => name.startsWith("adapter"))).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
    expect(await readdir(kept)).not.toContain("model.safetensors");
    const settings = JSON.parse(await readFile(path.join(kept, "adapter_config.json"), "utf8"));
    expect(settings).toMatchObject({ peft_type: "LORA", r: 8, lora_alpha: 8 });
    expect(settings.target_modules).toEqual(["down_proj", "gate_proj", "up_proj"]);
    for (const args of [
      ["compress", "lora", "--model", base, "--lora", kept, "--out", merged],
      ["compress", "dip", "--model", base, "--lora", kept, ...DENSITY, "--out", pruned],
    ]) {
      const outcome = await skim(args);
      expect(outcome.code, outcome.stderr).toBe(0);
    }
    const weights = (run: string) => readFile(path.join(run, "model.safetensors"));
    const expected = await weights(whole);
    expect((await weights(parts)).equals(expected)).toBe(true);
    expect(await perplexity(pruned)).toBeCloseTo(repaired, 3);
    expect(await perplexity(merged, ...DENSITY)).toBeCloseTo(repaired, 3);
  });

  it.each<readonly [string, readonly string[], number, RegExp]>([
    ["no density", [], 2, /train dip-repair: expected either --density or one or both/],
    ["a teacher of the text", [...DENSITY, "--loss", "ce", "--teacher", "x"], 2, /leave out --teacher/],
    ["an unknown method", [...DENSITY, "--method", "cats"], 2, /choices are dip, glu, gate, up/],
    ["a density that leaves nothing to choose", [...DENSITY, "--method", "gate"], 2, /density/],
    [
      "an unknown target",
      [...DENSITY, "--lora-targets", "q,x"],
      2,
      /names out of q, k, v, o, gate, up, down/,
    ],
  ])("%s is one line", async (_, flags, code, message) => {
    const outcome = await skim(repair(path.join(folder, "none"), ...flags));
    expect(outcome.stderr.trim().split("\n").at(-1)).toMatch(message);
    expect(outcome.code).toBe(code);
  });

  it("refuses adapters of others that do not fit", async () => {
    const out = path.join(folder, "none");
    const missing = await skim(["compress", "lora", "--model", base, "--lora", folder, "--out", out]);
    expect(missing.stderr).toMatch(/is no adapter folder, expected adapter_config\.json in it/);
    expect(missing.code).toBe(1);
    expect(await readdir(folder)).not.toContain("none");
  });
});
