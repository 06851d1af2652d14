import { describe, expect, it } from "vitest";
import { alignSentence, contentWords, splitSentences, summaryExample } from "./summaries.ts";

const ARTICLE = [
  "The city council approved a new budget of 12 million dollars on Monday.",
  "Mayor Ruth Alvarez said the money would repair bridges and schools.",
  "Several residents protested outside the building.",
  "Work on the bridges starts in March and should finish before winter.",
  "The council last raised spending in 2015.",
];

describe("alignment", () => {
  it("names the sentences that add most words", () => {
    const sentence = "City council approved 12 million dollars to repair bridges and schools.";
    expect(contentWords(sentence).size).toBe(9);
    const { sentences, gains } = alignSentence(sentence, ARTICLE);
    expect(sentences).toEqual([1, 2]);
    expect(gains.map((gain) => gain.toFixed(4))).toEqual(["0.6667", "0.3333"]);
  });

  it("takes words as they are written", () => {
    expect([...contentWords("Bridge work starts in March.")].sort()).toEqual([
      "bridge",
      "march",
      "starts",
      "work",
    ]);
    expect(alignSentence("Bridge work starts in March.", ARTICLE)).toEqual({
      sentences: [4],
      gains: [0.75],
      coverage: 0.75,
    });
  });

  it("asks for everything where little is shared", () => {
    expect(alignSentence("Tourists enjoyed sunny beaches.", ARTICLE)).toEqual({
      sentences: [],
      gains: [],
      coverage: 0,
    });
  });

  it("names at most four", () => {
    const article = ["alpha1 beta1", "gamma1 delta1", "omega1 sigma1", "kappa1 theta1", "lambda1 epsilon1"];
    expect(alignSentence(article.join(" "), article).sentences).toEqual([1, 2, 3, 4]);
  });
});

describe("examples", () => {
  it("number sentences, state spans and follow pronouns back", () => {
    const summary =
      "The council approved the budget.\nIt would repair bridges and schools.\nTourists enjoyed beaches.";
    const example = summaryExample(ARTICLE.join(" "), summary);
    expect(example?.prompt.split("\n")[3]).toBe(`<|sent|>4 ${ARTICLE[3]}`);
    expect(example?.answer.split("\n")).toEqual([
      "<|span|>6:@1<|work|>The council approved the budget.<|end|>",
      "<|span|>7:@2,@6<|work|>It would repair bridges and schools.<|end|>",
      "<|span|>8:*<|work|>Tourists enjoyed beaches.<|end|>",
      "",
    ]);
  });

  it("are not made of what has no text or too much of it", () => {
    expect(summaryExample("", "A summary.")).toBeUndefined();
    expect(summaryExample("A text.", " \n")).toBeUndefined();
    expect(summaryExample("A text is here.\n".repeat(61), "A summary.")).toBeUndefined();
  });

  it("keep control tokens out of texts", () => {
    expect(summaryExample("A <|span|> here.", "A span.")?.prompt).toBe("<|sent|>1 A < |span|> here.\n");
  });
});

it("sentences end at points and lines", () => {
  expect(splitSentences("One here. Two there!\n\n. \nThree")).toEqual(["One here.", "Two there!", "Three"]);
});
