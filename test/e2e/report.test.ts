/** `skim report` as a user runs it: the page stands for itself, figures come one by one, mistakes are one line. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const RESULTS = path.resolve(import.meta.dirname, "..", "..", "bench", "results");
const OUTSIDE = /<script|<link|<img|<iframe|\bhref|\bsrc=|@import|url\(|https?:/;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-report-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("skim report", () => {
  it("draws the committed rows into one page that refers to nothing outside", async () => {
    const out = path.join(folder, "report.html");
    const outcome = await skim(["report", "--results", RESULTS, "--out", out, "--json"]);
    expect(outcome.stderr).toContain(`wrote ${out}`);
    expect(outcome.code).toBe(0);
    const html = await readFile(out, "utf8");
    expect(html).not.toMatch(OUTSIDE);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
    expect(html).toContain("prefers-color-scheme:dark");
    const {
      figures,
    }: { figures: { name: string; title: string; rows: { commit: string; command: string }[] }[] } =
      JSON.parse(outcome.stdout);
    const names = figures.map(({ name }) => name);
    for (const name of ["quality", "speed", "peers", "memory", "sparsity", "trimming", "spans"]) {
      expect(names).toContain(name);
    }
    expect(html.match(/<svg/g)).toHaveLength(figures.length);
    // Every caption names the commits of its rows, and the machine.
    for (const section of html.split('<section id="').slice(1)) {
      const figure = figures.find(({ name }) => section.startsWith(`${name}"`));
      expect(figure?.rows.length).toBeGreaterThan(0);
      for (const { commit } of figure?.rows ?? []) expect(section).toContain(commit.slice(0, 10));
      expect(section).toMatch(/\d cores, .*Node \d|machine not stated, nothing is timed/);
    }
  });

  it("writes one figure as a picture for light and dark", async () => {
    const file = path.join(folder, "quality.svg");
    const outcome = await skim(["report", "--results", RESULTS, "--figure", "quality", "--svg", file]);
    expect(outcome.code).toBe(0);
    const svg = await readFile(file, "utf8");
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*<\/svg>\n$/s);
    expect(svg).toContain("prefers-color-scheme:dark");
    expect(svg.replace("http://www.w3.org/2000/svg", "")).not.toMatch(OUTSIDE);
  });

  it("says what is wrong in one line", async () => {
    const page = path.join(folder, "never.html");
    const cases: [args: string[], code: number, message: RegExp][] = [
      [[], 2, /nothing to do - give --out/],
      [["--figure", "quality"], 2, /--figure and --svg belong together/],
      [["--results", path.join(folder, "nowhere"), "--out", page], 1, /nowhere: cannot be read \(ENOENT\)/],
      [["--results", folder, "--out", page], 1, /no row that a figure draws/],
      [
        ["--results", RESULTS, "--figure", "beauty", "--svg", page],
        2,
        /no figure beauty, expected one of quality, /,
      ],
      [
        ["--results", RESULTS, "--out", path.join(folder, "no", "page.html")],
        1,
        /page\.html: cannot be created \(no such file or folder\)/,
      ],
    ];
    for (const [args, code, message] of cases) {
      const outcome = await skim(["report", ...args]);
      expect(outcome.stderr).toMatch(message);
      expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
      expect(outcome.code).toBe(code);
    }
  });

  it("refuses a damaged row with its place", async () => {
    await writeFile(path.join(folder, "bad.jsonl"), '{"schema":"peers/1"}\n');
    const outcome = await skim(["report", "--results", folder, "--json"]);
    expect(outcome.stderr).toMatch(/bad\.jsonl:1: peers\/1 row, date/);
    expect(outcome.code).toBe(1);
  });
});
