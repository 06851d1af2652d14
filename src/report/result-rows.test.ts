/** Rows are read completely or refused by name; of repeated measurements the newest counts. */
import { expect, test } from "vitest";
import { FormatError } from "../errors.ts";
import { readResultRows } from "./result-rows.ts";

const ORIGIN = {
  commit: "0123456789abcdef",
  modified: false,
  machine: { cpu: "a cpu", cores: 2, os: "an os", node: "20.0.0" },
};

function neurons(date: string, command: string, ratio: number) {
  const model = { file: "m.gguf" };
  return { schema: "neurons/1", ...ORIGIN, date, command, model, liveShare: 0.1, ceiling: 1.6, ratio };
}

function read(...rows: object[]) {
  return readResultRows([
    { name: "a.jsonl", text: `${rows.map((row) => JSON.stringify(row)).join("\n")}\n` },
  ]);
}

test("of repeated measurements the newest counts, wherever it stands", () => {
  const rows = read(
    neurons("2026-02-02", "node bench/neurons.mjs --model m.gguf --rounds 5", 1.4),
    neurons("2026-02-01", "node bench/neurons.mjs --model m.gguf --rounds 7", 1.3),
    neurons("2026-02-01", "node bench/neurons.mjs --model other.gguf --rounds 7", 1.2),
  ).of("neurons/1");
  expect(rows.map(({ ratio }) => ratio).sort()).toEqual([1.2, 1.4]);
});

test("rows that no figure draws are counted", () => {
  const rows = read({ schema: "kernel-variants/1" }, { schema: "kernel-variants/1" });
  expect([...rows.undrawn]).toEqual([["kernel-variants/1", 2]]);
  expect(rows.of("neurons/1")).toEqual([]);
});

test("what is no row is refused with its place", () => {
  const refusal = (text: string) => {
    try {
      readResultRows([{ name: "a.jsonl", text }]);
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      return (error as Error).message;
    }
    throw new Error("the text was read");
  };
  expect(refusal('\n{"schema":')).toMatch(/^a\.jsonl:2: the line is no JSON/);
  expect(refusal("{}")).toMatch(/^a\.jsonl:1: the row has no schema/);
  expect(refusal(JSON.stringify({ ...neurons("2026", "c", 1), ratio: "fast" }))).toMatch(
    /^a\.jsonl:1: neurons\/1 row, ratio: .*expected number/,
  );
});
