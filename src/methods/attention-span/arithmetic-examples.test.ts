import { expect, it } from "vitest";
import { arithmeticExamples, type ArithmeticOptions } from "./arithmetic-examples.ts";
import { splitOf } from "./arithmetic.ts";

const OPTIONS: ArithmeticOptions = {
  levels: [1, 2],
  count: 40,
  seed: 1,
  split: "train",
  vary: 0,
  long: true,
  statements: true,
};

it("levels take turns and nothing comes twice", () => {
  const examples = [...arithmeticExamples(OPTIONS)];
  expect(examples.map(({ level }) => level)).toEqual(Array.from({ length: 40 }, (_, i) => 1 + (i % 2)));
  expect(new Set(examples.map(({ prompt }) => prompt)).size).toBe(40);
  expect(examples[0]).toEqual({
    instruction: "Compute.\n",
    prompt: "9-(2+4)\n",
    answer:
      "<|span|>1:2+4<|work|>2+4=6<|end|>\n<|span|>2:9-@1<|work|>9-6=3<|end|>\n<|span|>ans:@2<|work|>3<|end|>\n",
    level: 1,
    value: 3,
  });
});

it("the number of operators varies where it is asked to", () => {
  const operators = (vary: number) =>
    new Set(
      Array.from(
        arithmeticExamples({ ...OPTIONS, levels: [2], vary }),
        ({ prompt }) => prompt.match(/[-+*]/g)?.length,
      ),
    );
  expect(operators(0)).toEqual(new Set([4]));
  expect(operators(1)).toEqual(new Set([1, 2, 3, 4]));
});

it("splits share no expression", () => {
  for (const split of ["train", "valid", "test"] as const) {
    const examples = [...arithmeticExamples({ ...OPTIONS, split })];
    expect(examples.every(({ prompt }) => splitOf(prompt.trim()) === split)).toBe(true);
  }
});

it("the control has bodies alone", () => {
  const [{ answer }] = arithmeticExamples({ ...OPTIONS, count: 1, statements: false });
  expect(answer).toBe("2+4=6\n9-6=3\n3\n");
});

it("ends when a level is used up", () => {
  const all = [...arithmeticExamples({ ...OPTIONS, levels: [1], count: 100_000, split: "test" })];
  expect(all.length).toBeGreaterThan(100);
  expect(all.length).toBeLessThan(1000);
});
