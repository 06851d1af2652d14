/**
 * Runs the built command line (dist/cli/main.js) as a user would: as a process, with pipes for its streams.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

const COMMAND = path.resolve(import.meta.dirname, "..", "..", "dist", "cli", "main.js");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Text piped into stdin, which is closed after it. */
  readonly stdin?: string;
  /** Sends SIGINT once stdout has shown this many characters. */
  readonly interruptAfter?: number;
  /** Sends SIGINT once stderr contains this text. */
  readonly interruptOn?: string;
  /** Sends SIGKILL once stderr contains this text. */
  readonly killOn?: string;
  /** Sends SIGKILL after so many milliseconds. */
  readonly killAfter?: number;
}

/** Runs `skim ...args` to its end. */
export function skim(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  if (!existsSync(COMMAND))
    throw new Error(`${COMMAND} is missing, run \`npm run build\` before these tests`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    let interrupted = false;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (!interrupted && stdout.length >= (options.interruptAfter ?? Number.POSITIVE_INFINITY)) {
        interrupted = true;
        child.kill("SIGINT");
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      if (!interrupted && options.interruptOn !== undefined && stderr.includes(options.interruptOn)) {
        interrupted = true;
        child.kill("SIGINT");
      }
      if (options.killOn !== undefined && stderr.includes(options.killOn)) child.kill("SIGKILL");
    });
    const timer =
      options.killAfter === undefined
        ? undefined
        : setTimeout(() => child.kill("SIGKILL"), options.killAfter);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
    // A process that refuses its flags may be gone before it reads anything.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.stdin ?? "");
  });
}
