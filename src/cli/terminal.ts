/**
 * Where the command line reads and writes: results go to stdout, everything about them (progress, notes,
 * errors) to stderr. With --json stdout carries one JSON object and nothing else.
 */
import type { Readable, Writable } from "node:stream";

export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

export function print(terminal: Terminal, text: string): void {
  terminal.stdout.write(text);
}

export function printLine(terminal: Terminal, text: string): void {
  terminal.stdout.write(`${text}\n`);
}

/** The one object of --json. */
export function printJson(terminal: Terminal, value: object): void {
  terminal.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** A remark that is not part of the result. */
export function printNote(terminal: Terminal, text: string): void {
  terminal.stderr.write(`${text}\n`);
}

/** Bytes in the unit that reads best, decimal as bandwidths are. */
export function formatSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toPrecision(3)} ${units[unit]}`;
}

/** Rows as aligned columns, Markdown style; the first column is flush left, the others flush right. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}
