import { expect, it } from "vitest";
import { OptionError } from "../../errors.ts";
import { evaluateExpression, writeExpression } from "./arithmetic.ts";
import { parseExpression } from "./parse-expression.ts";

it.each([
  ["(37+5)*(12-4)", "(37+5)*(12-4)", 336],
  ["37 + 5*2", "37+(5*2)", 47],
  ["9-2-3", "(9-2)-3", 4],
  ["((7))", "7", 7],
  ["2*3*4-1", "((2*3)*4)-1", 23],
])("%s is %s", (text, written, value) => {
  const expression = parseExpression(text);
  expect(writeExpression(expression)).toBe(written);
  expect(evaluateExpression(expression)).toBe(value);
});

it.each([
  ["", /got its end/],
  ["3+", /got its end/],
  ["3+x", /got "x" at character 3/],
  ["(3+4", /expected \)/],
  ["3 4", /got "4" at character 3/],
  ["1234567", /at most six digits/],
  ["-3", /got "-"/],
  [`${"1+".repeat(65)}1`, /at most 64 operators/],
])("%s is refused", (text, message) => {
  expect(() => parseExpression(text)).toThrow(OptionError);
  expect(() => parseExpression(text)).toThrow(message);
});
