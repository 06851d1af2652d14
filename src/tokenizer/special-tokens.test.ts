import { describe, expect, it } from "vitest";
import { SpecialTokenSplitter } from "./special-tokens.ts";

const token = (id: number, content: string, strip: { lstrip?: boolean; rstrip?: boolean } = {}) => ({
  id,
  content,
  lstrip: false,
  rstrip: false,
  ...strip,
});

describe("SpecialTokenSplitter", () => {
  it("cuts at the leftmost, then longest token", () => {
    const splitter = new SpecialTokenSplitter([token(1, "<a>"), token(2, "<a><b>"), token(3, "b>")]);
    expect(splitter.split("x<a><b>y<a>b>")).toEqual(["x", 2, "y", 1, 3]);
    expect(splitter.split("<a><b")).toEqual([1, "<b"]);
  });

  it("returns ordinary text whole", () => {
    expect(new SpecialTokenSplitter([]).split("some <text>")).toEqual(["some <text>"]);
    expect(new SpecialTokenSplitter([token(1, "<a>")]).split("")).toEqual([]);
  });

  it("swallows whitespace beside tokens that strip", () => {
    const splitter = new SpecialTokenSplitter([
      token(1, "<l>", { lstrip: true }),
      token(2, "<r>", { rstrip: true }),
      token(3, "<n>"),
    ]);
    expect(splitter.split("a \n<l> b")).toEqual(["a", 1, " b"]);
    expect(splitter.split("a <r> \n\tb")).toEqual(["a ", 2, "b"]);
    expect(splitter.split("a <n> b")).toEqual(["a ", 3, " b"]);
    expect(splitter.split("<r>  <l>  ")).toEqual([2, 1, "  "]);
    expect(splitter.split("<r>   ")).toEqual([2]);
  });

  it("gives duplicate entries the first id", () => {
    expect(new SpecialTokenSplitter([token(5, "<d>"), token(9, "<d>")]).split("<d>")).toEqual([5]);
  });
});
