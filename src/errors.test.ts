import { expect, it } from "vitest";
import { FormatError, SkimError } from "./errors.ts";

it("messages are one line without control characters, whatever they quote", () => {
  const error = new FormatError('tensor "a\n\u001b[2J\u2028\u0085ä": damaged');
  expect(error.message).toBe('tensor "a\\u000a\\u001b[2J\\u2028\\u0085ä": damaged');
  expect([error.code, error.name, error instanceof SkimError]).toEqual(["format", "FormatError", true]);
});

it("messages end somewhere", () => {
  expect(new FormatError("x".repeat(70_000)).message).toBe(`${"x".repeat(2000)}...`);
});
