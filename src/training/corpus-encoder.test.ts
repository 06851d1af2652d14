/** The word by word encoder gives the ids of the tokenizer; documents are framed by the end token. */
import { expect, test } from "vitest";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import {
  END_OF_TEXT,
  trainBpe,
  vocabularyConfigJson,
  vocabularyJson,
  WordCounter,
} from "../tokenizer/train-bpe.ts";
import { CorpusEncoder } from "./corpus-encoder.ts";
import { encodeExamples, parseExamples } from "./example-batches.ts";
import { createFreshModel } from "./fresh-model.ts";

const TEXT = "It's 1999; she'll  walk\n\n\tto “Zürich”, won't she?  日本 \u{1F600} walk walking walked.\r\n ";

async function trained() {
  const counter = new WordCounter();
  counter.add(TEXT.repeat(4));
  const json = vocabularyJson(trainBpe(counter.counts, 290));
  const shape = {
    layers: 1,
    width: 8,
    heads: 2,
    kvHeads: 2,
    feedForwardWidth: 8,
    vocabularySize: 290,
    contextLength: 64,
    tiedHead: true,
    activation: "silu",
  };
  const file = createFreshModel(shape, 1, { json, config: vocabularyConfigJson(64), bosId: 0, eosId: 0 });
  const tokenizer = await loadTokenizer(file);
  return { tokenizer, encoder: await CorpusEncoder.create(tokenizer, file) };
}

test("words are encoded as in their text", async () => {
  const { tokenizer, encoder } = await trained();
  const characters = [...TEXT];
  for (let end = 0; end <= characters.length; end++) {
    const part = characters.slice(0, end).join("");
    expect(encoder.encode(part)).toEqual(tokenizer.encode(part, { addSpecial: false, parseSpecial: false }));
  }
});

test("documents stand between end tokens, empty ones are left out", async () => {
  const { tokenizer, encoder } = await trained();
  const tokens = encoder.encodeDocuments(`${END_OF_TEXT}\nwalk ${END_OF_TEXT}${END_OF_TEXT}won't`);
  expect(tokenizer.decode([...tokens], { special: true })).toBe(
    `${END_OF_TEXT}walk${END_OF_TEXT}won't${END_OF_TEXT}`,
  );
});

test("examples predict answer and end, after what the tokenizer puts first", async () => {
  const { tokenizer, encoder } = await trained();
  const lines = '{"prompt": "she", "answer": " walked"}\n\n{"prompt": "she", "answer": "x y z x y z"}\n';
  const { sequences, tooLong } = encodeExamples("data", parseExamples("data", lines), tokenizer, encoder, 8);
  expect(tooLong).toBe(1);
  const [{ tokens, firstTarget }] = sequences;
  expect(tokens[0]).toBe(0);
  expect(tokenizer.decode([...tokens.slice(1, firstTarget)])).toBe("she");
  expect(tokenizer.decode([...tokens.slice(firstTarget)], { special: true })).toBe(` walked${END_OF_TEXT}`);
  expect(() => parseExamples("data", '{"prompt": "a", "answer": "b"}\nno')).toThrow(
    /data: line 2: is not JSON/,
  );
  expect(() => parseExamples("data", '{"prompt": "a", "answer": ""}')).toThrow(/line 1: answer/);
});
