import { expect, it } from "vitest";
import type { SpanRules } from "../methods/attention-span/span-tracker.ts";
import { StatedSpans } from "./stated-spans.ts";

const CONTROL = { span: 1, work: 2, end: 3, sentence: 4, endOfText: 5 };
const RULES: SpanRules = {
  control: CONTROL,
  headers: "full",
  decode: (ids) => String.fromCharCode(...ids.map((id) => id - 100)),
};
const letters = (text: string) => Array.from(text, (letter) => 100 + letter.charCodeAt(0));
const SINK = [0, ...letters("S")];
const PROMPT = [...SINK, ...letters("3+5\n")];
const LINE = [
  CONTROL.span,
  ...letters("1:3+5"),
  CONTROL.work,
  ...letters("8"),
  CONTROL.end,
  ...letters("\n"),
];

it("turns what is stated into visible positions", () => {
  const spans = new StatedSpans({ rules: RULES, sink: SINK }, PROMPT);
  const rows = LINE.map((token) => spans.next(token)?.[0]);
  // 6 prompt positions, 6 of the header, then the body: sink and own line.
  expect(rows.slice(0, 6)).toEqual(Array(6).fill(undefined));
  expect(rows[6]).toEqual([
    { start: 0, end: 2 },
    { start: 6, end: 13 },
  ]);
  expect(rows[8]).toEqual([
    { start: 0, end: 2 },
    { start: 6, end: 15 },
  ]);
  expect(rows[9]).toBeUndefined();
  expect(spans.firstMasked).toBe(12);
  const full = Array.from({ length: 10 }, (_, i) => 7 + i).reduce((a, b) => a + b, 0);
  expect(spans.report()).toMatchObject({
    statements: 1,
    valid: 1,
    positionsInAll: full,
    positionsRead: full - 12,
  });
});

it("keeps statements out of the text", () => {
  const spans = new StatedSpans({ rules: RULES, sink: SINK }, PROMPT);
  expect(LINE.map((token) => spans.hides(token))).toEqual([...Array(7).fill(true), false, true, false]);
});

it("reads everything where statements are not followed", () => {
  const spans = new StatedSpans({ rules: RULES, sink: SINK }, PROMPT, false);
  expect(LINE.every((token) => spans.next(token) === undefined)).toBe(true);
  expect(spans.firstMasked).toBeUndefined();
  const { valid, positionsRead, positionsInAll } = spans.report();
  expect([valid, positionsRead]).toEqual([1, positionsInAll]);
});

it("takes a prompt without the instruction", () => {
  const spans = new StatedSpans({ rules: RULES, sink: SINK }, letters("3+5\n"));
  for (const token of LINE.slice(0, 6)) spans.next(token);
  expect(spans.next(CONTROL.work)?.[0]?.[0]).toEqual({ start: 0, end: 1 });
});
