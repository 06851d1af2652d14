/** What is counted after a generation is what the engine read during it, on the embedded calc. */
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ARITHMETIC_INSTRUCTION } from "../methods/attention-span/arithmetic.ts";
import { nodePlatform } from "../platform/node.ts";
import { loadModelOn } from "../session/load-model.ts";
import type { Model } from "../session/model.ts";
import { evaluateArithmetic } from "./arithmetic.ts";

const FOLDER = path.resolve(import.meta.dirname, "..", "..", "models", "calc");

let model: Model;
beforeAll(async () => {
  model = await loadModelOn(nodePlatform(), FOLDER);
});
afterAll(() => model.dispose());

it.each([
  ["with", ARITHMETIC_INSTRUCTION],
  ["without", ""],
])("counts what is read %s the instruction", async (_, instruction) => {
  const problem = { instruction, prompt: "(3+5)*(7-2)+4\n", answer: "", level: 2, value: 44 };
  const options = { follow: true, now: () => 0 };
  const [report] = await evaluateArithmetic(model, [problem], options);
  const { spans } = await model
    .generate(`${instruction}${problem.prompt}`, {
      temperature: 0,
      maxTokens: model.contextLength,
      statements: true,
    })
    .result();
  expect(report.validStatements).toBeGreaterThan(1);
  expect(report.all).toEqual({ read: spans?.positionsRead, inAll: spans?.positionsInAll });
});
