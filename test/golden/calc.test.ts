/**
 * What the embedded calc does with its spans: worked solutions forced, so that only bodies are judged. Under the stated masks
 * bodies come out as under full attention; random segments of the same number, and a missing segment, break them.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ArithmeticExample,
  arithmeticExamples,
} from "../../src/methods/attention-span/arithmetic-examples.ts";
import { mulberry32 } from "../../src/models/synthetic/random.ts";
import { trackSequence } from "../../src/methods/attention-span/span-tracker.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { countPositions, type Interval, mergeIntervals } from "../../src/program/intervals.ts";
import { loadModelOn } from "../../src/session/load-model.ts";
import type { Model } from "../../src/session/model.ts";
import { sequenceStep } from "../../src/session/sequence-steps.ts";

const FOLDER = path.resolve(import.meta.dirname, "..", "..", "models", "calc");

let model: Model;
let examples: readonly ArithmeticExample[];
beforeAll(async () => {
  model = await loadModelOn(nodePlatform(), FOLDER, { engine: { stepTokens: 768 } });
  examples = [
    ...arithmeticExamples({
      levels: [2, 3],
      count: 40,
      seed: 77,
      split: "test",
      vary: 0,
      long: true,
      statements: true,
    }),
  ];
});
afterAll(() => model.dispose());

/** Changes what a header names: lines of bodies that need references are judged, those before it are not. */
type Change = (references: readonly string[], line: number) => readonly string[];

/** Share of lines with references whose body tokens the model would write itself, given all before them. */
async function linesRight(change: Change | "full attention" | "window and sink"): Promise<number> {
  let [right, lines] = [0, 0];
  for (const example of examples) {
    const altered = typeof change === "string" ? example.answer : alterHeaders(example.answer, change);
    const encode = (text: string) => model.tokenize(text, { addSpecial: false });
    const prompt = model.tokenize(`${example.instruction}${example.prompt}`);
    // The model reads the true solution; only the masks follow the altered headers.
    const tokens = [...prompt, ...encode(example.answer)];
    const stated = change === "full attention" ? undefined : masksOf(prompt, encode(altered), tokens);
    const visible = change === "window and sink" ? stated?.map(windowAndSink) : stated;
    const outputs = tokens.map((_, t) => t);
    const step = { ...sequenceStep({ tokens, outputs, prompt: true }, 0, 0), ...(visible && { visible }) };
    const logits = await model.executor.step(step);
    for (const { start, end } of bodiesWithReferences(tokens)) {
      lines++;
      const good = tokens
        .slice(start, end)
        .every((token, i) => best(logits, start + i - 1, model.program.vocabularySize) === token);
      if (good) right++;
    }
  }
  return right / lines;
}

/** Masks of the altered text, whose headers are as long as the true ones. */
function masksOf(prompt: readonly number[], altered: readonly number[], tokens: readonly number[]) {
  const { rules, sink } = model.spans ?? expect.fail("calc states spans");
  const text = [...prompt, ...altered];
  expect(text).toHaveLength(tokens.length);
  const { visible } = trackSequence(rules, text, prompt.length, sink.length);
  return visible.map((row, t): readonly Interval[] => row ?? [{ start: 0, end: t + 1 }]);
}

/** As many positions as were stated: the sink and the latest ones (StreamingLLM). */
function windowAndSink(stated: readonly Interval[], row: number): readonly Interval[] {
  const sink = model.spans?.sink.length ?? expect.fail("calc states spans");
  const count = countPositions(stated);
  return count > row
    ? stated
    : mergeIntervals([
        { start: 0, end: sink },
        { start: row + 1 - (count - sink), end: row + 1 },
      ]);
}

function alterHeaders(answer: string, change: Change): string {
  let line = 0;
  return answer.replaceAll(/<\|span\|>(.*?)<\|work\|>/g, (_, header: string) => {
    line++;
    const references = header.match(/@\d+/g) ?? [];
    const changed = change(references, line);
    let i = 0;
    return `<|span|>${header.replaceAll(/@\d+/g, () => changed[i++])}<|work|>`;
  });
}

/** Body tokens of lines whose header names segments. */
function bodiesWithReferences(tokens: readonly number[]): Interval[] {
  const { control, decode } = (model.spans ?? expect.fail("calc states spans")).rules;
  return [...tokens.keys()].flatMap((start) => {
    if (tokens[start] !== control.work) return [];
    const header = decode(tokens.slice(tokens.lastIndexOf(control.span, start) + 1, start));
    return header.includes("@") ? [{ start: start + 1, end: tokens.indexOf(control.end, start) + 1 }] : [];
  });
}

function best(logits: Float32Array, row: number, width: number): number {
  const values = logits.subarray(row * width, (row + 1) * width);
  return values.indexOf(Math.max(...values));
}

describe("stated spans of calc", () => {
  it("are enough, and it is they that matter", async () => {
    const stated = await linesRight((references) => references);
    const random = mulberry32(5);
    const anyOf = (line: number) => `@${1 + (random() % Math.max(1, line - 1))}`;
    const other = await linesRight((references, line) =>
      references.map(() => (line > 2 ? anyOf(line) : "@1")),
    );
    const missing = await linesRight((references) =>
      references.map((reference, i) => (i === 0 ? "@0" : reference)),
    );
    const latest = await linesRight("window and sink");
    expect(stated).toBeGreaterThan(0.95);
    // Many lines need the one before them, so a window does better than chance; some need older ones.
    expect(latest).toBeLessThan(stated - 0.1);
    expect(other).toBeLessThan(stated - 0.25);
    expect(missing).toBeLessThan(0.3);
  });

  it("are followed while generating: clean text, counted statements, less read", async () => {
    const generation = model.generate("Compute.\n(18+13)*(16-(5+9))\n", { temperature: 0 });
    const { text, spans, reads } = await generation.result();
    expect(text.split("\n").slice(0, 3)).toEqual(["18+13=31", "5+9=14", "16-14=2"]);
    expect(spans).toMatchObject({ statements: 5, valid: 5, everything: 0 });
    const full = await model
      .generate("Compute.\n(18+13)*(16-(5+9))\n", { temperature: 0, spans: "ignore" })
      .result();
    expect(full.spans?.positionsRead).toBe(full.spans?.positionsInAll);
    expect(reads.byKind.keyValue).toBeLessThan(0.85 * full.reads.byKind.keyValue);
    const shown = await model.generate("Compute.\n1+2\n", { temperature: 0, statements: true }).result();
    expect(shown.text).toMatch(/^<\|span\|>1:1\+2<\|work\|>1\+2=3<\|end\|>\n/);
  });

  it("do not leak into another prompt through reused keys", async () => {
    const prompt = "Compute.\n(18+13)*(16-(5+9))\n";
    const first = await model.generate(prompt, { temperature: 0 }).result();
    const continued = [...first.promptTokenIds, ...first.tokenIds.slice(0, 40)];
    const reused = await model.generate(continued, { temperature: 0, logprobs: 0, maxTokens: 3 }).result();
    await model.generate("Compute.\n1+1\n", { temperature: 0 }).result();
    const fresh = await model.generate(continued, { temperature: 0, logprobs: 0, maxTokens: 3 }).result();
    expect(reused.reusedTokens).toBeLessThan(continued.length - 20);
    expect(reused.tokenIds).toEqual(fresh.tokenIds);
  });
});

it("the model card says what config.json says", () => {
  const config = JSON.parse(readFileSync(path.join(FOLDER, "config.json"), "utf8"));
  expect([config.hidden_size, config.num_hidden_layers, config.hidden_act]).toEqual([128, 6, "relu"]);
  expect(config.skim.recipes[0]).toEqual({
    method: "attention-span",
    version: 1,
    instruction: "Compute.\n",
    headers: "full",
  });
});
