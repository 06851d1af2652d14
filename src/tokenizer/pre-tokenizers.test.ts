import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UnsupportedError } from "../errors.ts";
import { findPreTokenizer, PRE_TOKENIZER_NAMES, splitWords } from "./pre-tokenizers.ts";

const split = (name: string, text: string): string[] => splitWords(text, findPreTokenizer(name).patterns);

describe("pre-tokenizers", () => {
  it("cuts words, digits and spaces as each model was trained", () => {
    const text = "I'VE 1234 über-Äpfel\r\n\n  fin!! \t";
    expect(split("gpt-2", text)).toEqual([
      "I",
      "'",
      "VE",
      " 1234",
      " über",
      "-",
      "Äpfel",
      "\r\n\n ",
      " fin",
      "!!",
      " \t",
    ]);
    expect(split("qwen2", text)).toEqual([
      "I",
      "'VE",
      " ",
      "1",
      "2",
      "3",
      "4",
      " über",
      "-Äpfel",
      "\r\n\n",
      " ",
      " fin",
      "!!",
      " \t",
    ]);
    expect(split("llama-bpe", text)).toEqual([
      "I",
      "'VE",
      " ",
      "123",
      "4",
      " über",
      "-Äpfel",
      "\r\n\n",
      " ",
      " fin",
      "!!",
      " \t",
    ]);
    expect(split("starcoder", text)).toEqual([
      "I",
      "'",
      "VE",
      " ",
      "1",
      "2",
      "3",
      "4",
      " über",
      "-",
      "Äpfel",
      "\r\n\n ",
      " fin",
      "!!",
      " \t",
    ]);
    expect(split("falcon", text)).toEqual([
      "I",
      "'",
      "VE",
      " ",
      "123",
      "4",
      " über",
      "-",
      "Äpfel",
      "\r\n\n ",
      " fin",
      "!!",
      " \t",
    ]);
    expect(split("deepseek-coder", text)).toEqual([
      "I",
      "'",
      "VE",
      " ",
      "1",
      "2",
      "3",
      "4",
      " über",
      "-",
      "Äpfel",
      "\r",
      "\n",
      "\n",
      " ",
      " fin",
      "!!",
      " \t",
    ]);
    expect(split("deepseek-v3", "I'VE 1234 x_y\n")).toEqual(["I", "'VE", " ", "123", "4", " x", "_y", "\n"]);
    expect(split("tekken", "camelCase HTTPServer 12/\n")).toEqual([
      "camel",
      "Case",
      " HTTPServer",
      " ",
      "1",
      "2",
      "/\n",
    ]);
    expect(split("gpt-4o", "camelCase's 1234")).toEqual(["camel", "Case's", " ", "123", "4"]);
  });

  it("means Unicode's whitespace, not JavaScript's", () => {
    expect(split("gpt-2", "a\uFEFFb\u0085c")).toEqual(["a", "\uFEFF", "b", "\u0085", "c"]);
    expect(split("qwen2", "a\u0085\u0085b")).toEqual(["a", "\u0085", "\u0085b"]);
  });

  it.each(PRE_TOKENIZER_NAMES)("%s drops nothing", (name) => {
    const { patterns } = findPreTokenizer(name);
    const unit = fc.oneof(
      fc.constantFrom(" ", "\n", "\r", "\t", "'", "s", "3", "A", "é", "一", "。"),
      fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
    );
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 60 }), (units) => {
        const text = units.join("");
        const words = splitWords(text, patterns);
        expect(words.join("")).toBe(text);
        expect(words.every((word) => word.length > 0)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("does not slow down on long runs of spaces", () => {
    const text = `${" ".repeat(100_000)}x`;
    for (const name of ["deepseek-llm", "gpt-2", "llama-bpe", "default"]) {
      expect(split(name, text).join("")).toBe(text);
    }
  });

  it("refuses names it does not know, and lists those it does", () => {
    expect(() => findPreTokenizer("nonesuch")).toThrow(UnsupportedError);
    expect(() => findPreTokenizer("nonesuch")).toThrow(/llama-bpe.*qwen2.*got "nonesuch"/);
  });
});
