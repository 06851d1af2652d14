/**
 * Every way a command can fail, as one line on stderr and an exit code: 0 done, 1 the work failed, 2 wrong
 * usage, 130 interrupted (128 + SIGINT, as shells have it). No failure prints a stack trace.
 */
import { CommanderError } from "commander";
import { OptionError, SkimError } from "../errors.ts";
import type { Terminal } from "./terminal.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
export const EXIT_INTERRUPTED = 130;

/** The command line asked for something that cannot be meant; exits with 2. */
export class UsageError extends OptionError {}

/** Thrown when Ctrl-C ended a command that has already printed what it had. */
export class InterruptedError extends SkimError {
  constructor() {
    super("interrupted", "interrupted");
  }
}

/** Prints what is left to say about `error` and returns the exit code. */
export function reportFailure(terminal: Terminal, error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has printed it
  if (error instanceof InterruptedError) return EXIT_INTERRUPTED;
  if (error instanceof SkimError) {
    terminal.stderr.write(`skim: ${oneLine(error.message)}\n`);
    return error instanceof OptionError ? EXIT_USAGE : EXIT_FAILED;
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  terminal.stderr.write(
    `skim: internal error: ${oneLine(message)} - this is a bug in skim, please report it with the command that led here\n`,
  );
  return EXIT_FAILED;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}
