/** JSON Lines, as data sets come: one object per line, checked line by line; empty lines are skipped. */
import type { z } from "zod";
import { FormatError } from "../errors.ts";

/** All objects of a file; `expected` shows what a line looks like. FormatError naming the first bad line. */
export function parseJsonLines<T>(name: string, text: string, schema: z.ZodType<T>, expected: string): T[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      line.trim() === "" ? [] : [parseJsonLine(`${name}: line ${index + 1}`, line, schema, expected)],
    );
}

/** The object of one line; `where` names it in errors. */
export function parseJsonLine<T>(where: string, line: string, schema: z.ZodType<T>, expected: string): T {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`${where}: is not JSON, expected ${expected} - correct the line`, { cause });
  }
  const outcome = schema.safeParse(value);
  if (outcome.success) return outcome.data;
  const { path, message } = outcome.error.issues[0];
  const field = path.length === 0 ? "" : `${path.join(".")}: ${message}, `;
  throw new FormatError(`${where}: ${field}expected ${expected} - correct the line`);
}
