import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { nodePlatform } from "../platform/node.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { readSegments, segmentStep } from "./calibration-segments.ts";

const EXAMPLE = {
  instruction: "Compute.\n",
  prompt: "(1+6)-7\n",
  answer:
    "<|span|>1:1+6<|work|>1+6=7<|end|>\n<|span|>2:@1-7<|work|>7-7=0<|end|>\n<|span|>ans:@2<|work|>0<|end|>\n",
};
const OPTIONS = { segmentTokens: 256, maxSegments: 8 };
const EXAMPLES = { ...OPTIONS, examples: true };

let file: ModelFile;
beforeAll(async () => {
  file = await openModelFile(nodePlatform(), path.resolve("models", "calc"));
});
afterAll(() => file.close());

it("runs examples with control tokens and through the masks that they state", async () => {
  const tokenizer = await loadTokenizer(file);
  const lines = Array.from({ length: 12 }, () => JSON.stringify(EXAMPLE)).join("\n");
  const segments = await readSegments(file, lines, EXAMPLES);
  expect(segments.length).toBe(8);
  const { tokens, visible } = segments[1];
  expect(tokenizer.decode(tokens)).toContain("(1+6)-7\n");
  const [work, end] = ["<|work|>", "<|end|>"].map(
    (text) => tokenizer.encode(text, { addSpecial: false, parseSpecial: true })[0],
  );
  const second = tokens.indexOf(work, tokens.indexOf(work) + 1);
  const last = tokens.indexOf(end, second);
  // Line 2 names line 1: its body sees the instruction, that line and itself, and not the expression.
  const seen =
    visible?.[last]?.flatMap(({ start, end: to }) =>
      Array.from({ length: to - start }, (_, i) => start + i),
    ) ?? [];
  const expression = tokens.indexOf(tokenizer.encode("(", { addSpecial: false, parseSpecial: false })[0]);
  expect(seen).toContain(0);
  expect(seen).toContain(tokens.indexOf(work));
  expect(seen).toContain(last);
  expect(seen).not.toContain(expression);
  const step = segmentStep(segments[1], 10, last + 1);
  expect(step.positions[0]).toBe(10);
  expect(step.visible?.at(-1)).toEqual(visible?.[last]);
});

it("reads running text with nothing hidden, and control tokens as the characters they are", async () => {
  const segments = await readSegments(file, EXAMPLE.answer.repeat(4), { ...OPTIONS, segmentTokens: 64 });
  expect(segments.every(({ visible }) => visible === undefined)).toBe(true);
  expect(segmentStep(segments[0], 0, 8)).not.toHaveProperty("visible");
});

it("refuses bad lines, and examples that fill no chunk", async () => {
  await expect(readSegments(file, "no\n", EXAMPLES)).rejects.toThrow(/line 1: is not JSON/);
  await expect(readSegments(file, "", EXAMPLES)).rejects.toThrow(/no example fits/);
  const chunks = { ...EXAMPLES, chunkRows: 200 };
  await expect(readSegments(file, JSON.stringify(EXAMPLE), chunks)).rejects.toThrow(
    /the longest has \d+ tokens, expected at least one chunk of 200/,
  );
});
