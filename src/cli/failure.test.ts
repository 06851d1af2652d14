import { PassThrough } from "node:stream";
import { CommanderError } from "commander";
import { expect, it } from "vitest";
import { FormatError, OptionError } from "../errors.ts";
import { InterruptedError, reportFailure } from "./failure.ts";

function report(error: unknown): { code: number; text: string } {
  const stderr = new PassThrough();
  const terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr };
  const code = reportFailure(terminal, error);
  return { code, text: String(stderr.read() ?? "") };
}

it("maps each kind of failure to one line and a code", () => {
  expect(report(new FormatError("a: bad\n  thing"))).toEqual({
    code: 1,
    text: "skim: a: bad\\u000a  thing\n",
  });
  expect(report(new OptionError("b"))).toEqual({ code: 2, text: "skim: b\n" });
  expect(report(new InterruptedError())).toEqual({ code: 130, text: "" });
  expect(report(new CommanderError(0, "commander.helpDisplayed", "x"))).toEqual({ code: 0, text: "" });
  expect(report(new CommanderError(1, "commander.unknownOption", "x"))).toEqual({ code: 2, text: "" });
  const internal = report(new TypeError("x is undefined"));
  expect(internal.code).toBe(1);
  expect(internal.text).toMatch(/^skim: internal error: TypeError: x is undefined - this is a bug .*\n$/);
});
