import { expect, test } from "vitest";
import { splitAtControls, statedHeaders } from "./control-tokens.ts";

test("control tokens stand at odd places, also where they touch", () => {
  expect(splitAtControls("<|span|>1:0<|work|>2+3=5<|end|><|sent|>x")).toEqual([
    ...["", "<|span|>", "1:0", "<|work|>", "2+3=5", "<|end|>", "", "<|sent|>", "x"],
  ]);
  expect(splitAtControls("a <|other|> b")).toEqual(["a <|other|> b"]);
});

test("headers are what stands between span and work", () => {
  const answer = "<|span|>1:0<|work|>2+3=5<|end|>\n<|span|><|work|>x<|end|>\n<|span|>3:1,2<|end|>";
  expect(statedHeaders(answer)).toEqual(["1:0", ""]);
  expect(statedHeaders("2+3=5")).toEqual([]);
});
