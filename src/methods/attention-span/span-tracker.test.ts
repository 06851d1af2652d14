import { describe, expect, it } from "vitest";
import { visibleBlocks } from "./blocks.ts";
import { countPositions, type Interval } from "../../program/intervals.ts";
import { readStatement } from "./statement.ts";
import { type SpanRules, trackSequence } from "./span-tracker.ts";

/** The toy vocabulary of the vectors: BOS, each control token and each other character are one token. */
const CONTROL = { span: 1, work: 2, end: 3, sentence: 4, endOfText: 5 };
const NAMES = ["<bos>", "<|span|>", "<|work|>", "<|end|>", "<|sent|>", "<eos>"];
const PIECE = /<bos>|<eos>|<\|(?:span|work|end|sent)\|>|[\s\S]/g;

function encode(text: string): number[] {
  return Array.from(text.matchAll(PIECE), ([piece]) => {
    const control = NAMES.indexOf(piece);
    return control >= 0 ? control : 100 + piece.charCodeAt(0);
  });
}

function rules(headers: "full" | "skeleton" = "full"): SpanRules {
  const decode = (ids: readonly number[]) => String.fromCharCode(...ids.map((id) => id - 100));
  return { control: CONTROL, headers, decode };
}

const SINK = encode("<bos>Compute.\n").length;
const PROMPT = "<bos>Compute.\n((3+5)*(7-2))-4\n";
const LINES = [
  "<|span|>1:3+5<|work|>3+5=8<|end|>",
  "<|span|>2:7-2<|work|>7-2=5<|end|>",
  "<|span|>3:@1*@2<|work|>8*5=40<|end|>",
  "<|span|>4:@3-4<|work|>40-4=36<|end|>",
  "<|span|>ans:@4<|work|>36<|end|>",
];
const PROMPT_LENGTH = encode(PROMPT).length;

function track(lines: readonly string[] = LINES, headers: "full" | "skeleton" = "full") {
  const tokens = encode(`${PROMPT}${lines.join("\n")}\n`);
  const { visible, counts } = trackSequence(rules(headers), tokens, PROMPT_LENGTH, SINK);
  const rows = visible.map((row, t): readonly Interval[] => row ?? [{ start: 0, end: t + 1 }]);
  const bodies = [...rows.keys()].filter((t) => {
    const before = tokens.slice(0, t + 1);
    const work = before.lastIndexOf(CONTROL.work);
    const end = tokens.indexOf(CONTROL.end, work);
    return work >= 0 && t <= end;
  });
  return { tokens, rows, counts, bodies };
}

const pairs = (row: readonly Interval[]) => row.map(({ start, end }) => [start, end]);
const sum = (rows: readonly (readonly Interval[])[]) =>
  rows.reduce((total, row) => total + countPositions(row), 0);

describe("span tracker", () => {
  it("follows the worked example", () => {
    const { tokens, rows, counts } = track();
    expect(tokens).toHaveLength(100);
    expect([SINK, PROMPT_LENGTH]).toEqual([10, 26]);
    expect([...tokens.keys()].filter((t) => tokens[t] === CONTROL.work)).toEqual([32, 46, 62, 78, 95]);
    expect([...tokens.keys()].filter((t) => tokens[t] === CONTROL.end)).toEqual([38, 52, 69, 86, 98]);
    expect(pairs(rows[32])).toEqual([
      [0, 10],
      [26, 33],
    ]);
    expect(pairs(rows[52])).toEqual([
      [0, 10],
      [40, 53],
    ]);
    expect(pairs(rows[62])).toEqual([
      [0, 10],
      [26, 39],
      [40, 53],
      [54, 63],
    ]);
    expect(pairs(rows[86])).toEqual([
      [0, 10],
      [54, 70],
      [71, 87],
    ]);
    expect(pairs(rows[98])).toEqual([
      [0, 10],
      [71, 87],
      [88, 99],
    ]);
    expect([counts.statements, counts.valid]).toEqual([5, 5]);
  });

  it("reads as many positions as the worked example counts", () => {
    const { rows, bodies } = track();
    const generated = rows.slice(PROMPT_LENGTH);
    expect(generated).toHaveLength(74);
    expect(bodies).toHaveLength(35);
    expect(sum(generated)).toBe(3580);
    expect(sum(bodies.map((t) => rows[t]))).toBe(1152);
    expect(bodies.reduce((total, t) => total + t + 1, 0)).toBe(2271);
    const ratios = generated.map((row, i) => countPositions(row) / (PROMPT_LENGTH + i + 1));
    expect(ratios.reduce((a, b) => a + b, 0) / 74).toBeCloseTo(0.771302, 6);
    expect(sum(track(LINES, "skeleton").rows.slice(PROMPT_LENGTH))).toBe(2951);
  });

  it("falls back to everything after a mistake, and numbering recovers", () => {
    const lines = LINES.with(2, "<|span|>3:@1*@7<|work|>8*5=40<|end|>");
    const { rows, counts, bodies } = track(lines);
    expect(counts.valid).toBe(4);
    expect(counts.errors.reference).toBe(1);
    expect(sum(rows.slice(PROMPT_LENGTH))).toBe(3724);
    expect(sum(bodies.map((t) => rows[t]))).toBe(1296);
    expect(pairs(rows[86])).toEqual([
      [0, 10],
      [54, 70],
      [71, 87],
    ]);
  });

  it("counts a line within a line and control tokens out of place", () => {
    const nested = track(["<|span|>1:3<|span|>1:3+5<|work|>8<|end|>", "<|work|>"]);
    expect(nested.counts.errors).toMatchObject({ nested: 1, stray: 1, syntax: 0 });
    expect(nested.counts.valid).toBe(1);
    const headless = track(["<|span|>1:3+5<|end|>", "<|span|>2:@1<|work|>8<|end|>"]);
    expect(headless.counts.errors.syntax).toBe(1);
    expect(headless.counts.valid).toBe(1);
    const long = track([`<|span|>1:${"1+".repeat(40)}1<|work|>8<|end|>`]);
    expect(long.counts.errors.long).toBe(1);
  });

  it("closes a body that does not end", () => {
    const { counts, rows } = track([`<|span|>1:3+5<|work|>${"8".repeat(600)}`]);
    expect(counts.valid).toBe(1);
    expect(rows.at(-1)).toHaveLength(1);
    expect(rows[rows.length - 80]).toHaveLength(1);
    expect(rows[PROMPT_LENGTH + 300]).toHaveLength(2);
  });

  it("numbers sentences of an article", () => {
    const prompt = encode("<bos>S.\n<|sent|>1 Ab.\n<|sent|>2 Cd.\n");
    const tokens = [...prompt, ...encode("<|span|>3:@2<|work|>Cd.<|end|>")];
    const { visible, counts } = trackSequence(rules(), tokens, prompt.length, 4);
    expect(counts.valid).toBe(1);
    expect(pairs(visible[visible.length - 1] ?? [])).toEqual([
      [0, 4],
      [11, tokens.length],
    ]);
  });
});

describe("blocks", () => {
  const hex = (row: readonly Interval[], size: 16 | 32) =>
    visibleBlocks(row, size).map(({ block, mask }) => [block, mask.toString(16).padStart(size / 4, "0")]);

  it("hold the visible positions of the worked example", () => {
    const { rows } = track();
    expect(hex(rows[62], 32)).toEqual([
      [0, "fc0003ff"],
      [1, "7fdfff7f"],
    ]);
    expect(hex(rows[69], 32)).toEqual([
      [0, "fc0003ff"],
      [1, "ffdfff7f"],
      [2, "0000003f"],
    ]);
    expect(hex(rows[86], 32)).toEqual([
      [0, "000003ff"],
      [1, "ffc00000"],
      [2, "007fffbf"],
    ]);
    expect(hex(rows[98], 32)).toEqual([
      [0, "000003ff"],
      [2, "ff7fff80"],
      [3, "00000007"],
    ]);
    expect(hex(rows[62], 16)).toEqual([
      [0, "03ff"],
      [1, "fc00"],
      [2, "ff7f"],
      [3, "7fdf"],
    ]);
  });

  it("are counted as the worked example counts them", () => {
    const { rows, bodies } = track();
    const count = (which: readonly number[], size: 16 | 32) =>
      which.reduce((total, t) => total + visibleBlocks(rows[t], size).length, 0);
    const all = Array.from({ length: 74 }, (_, i) => PROMPT_LENGTH + i);
    expect([count(all, 16), count(bodies, 16)]).toEqual([291, 127]);
    expect([count(all, 32), count(bodies, 32)]).toEqual([178, 88]);
  });
});

describe("statements", () => {
  const read = (header: string) => readStatement(header, header.length, 3, (id) => id <= 2);

  it.each([
    ["3:@1*@2", [1, 2]],
    ["3:@1,@2,@1", [1, 2]],
    ["3:@0-@2", [0, 2]],
    ["3:12+7", []],
    ["3:-", []],
    ["ans:@2", [2]],
  ])("%s names %o", (header, segments) => {
    expect(read(header)).toEqual({ kind: "references", segments, final: header.startsWith("ans") });
  });

  it("* asks for everything", () => {
    expect(read("3:*")).toEqual({ kind: "everything", final: false });
  });

  it.each([
    ["3:@1*@9", "reference"],
    ["3:@3+1", "reference"],
    ["4:@1*@2", "id"],
    ["3:@1**@2", "syntax"],
    ["03:@1", "syntax"],
    ["3:@01+2", "syntax"],
    ["3:@1, @2", "syntax"],
    ["", "syntax"],
  ])("%s is a mistake: %s", (header, error) => {
    expect(read(header)).toEqual({ kind: "error", error });
  });
});
