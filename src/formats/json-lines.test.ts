import { expect, test } from "vitest";
import { z } from "zod";
import { FormatError } from "../errors.ts";
import { parseJsonLines } from "./json-lines.ts";

const schema = z.object({ answer: z.object({ count: z.number() }) });
const parse = (text: string) => parseJsonLines("data.jsonl", text, schema, '{"answer": {"count"}}');

test("parses every line that holds something", () => {
  expect(parse('{"answer": {"count": 1}}\n\n  \n{"answer": {"count": 2}, "more": true}\n')).toEqual([
    { answer: { count: 1 } },
    { answer: { count: 2 } },
  ]);
});

test.each([
  [
    "a line that is not JSON",
    '\n{"answer"\n',
    'data.jsonl: line 2: is not JSON, expected {"answer": {"count"}}',
  ],
  ["a line of another shape", '{"answer": {"count": "1"}}', "data.jsonl: line 1: answer.count: "],
  ["a line that is no object", "7", "data.jsonl: line 1: expected"],
])("names file, line and field of %s", (_, text, message) => {
  expect(() => parse(text)).toThrow(FormatError);
  expect(() => parse(text)).toThrow(message);
});
