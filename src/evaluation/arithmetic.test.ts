/** What is counted after a generation is what the engine read during it, on the embedded calc. */
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Executor } from "../executors/executor.ts";
import { MOST_INTERVALS } from "../kernels/layout.ts";
import { ARITHMETIC_INSTRUCTION } from "../methods/attention-span/arithmetic.ts";
import { nodePlatform } from "../platform/node.ts";
import { loadModelOn } from "../session/load-model.ts";
import { Model } from "../session/model.ts";
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

it("counts everything where lines are more intervals than the engine takes", async () => {
  const endless = endlessLines(model);
  const problem = { prompt: "3+5\n", answer: "", level: 1, value: 8 };
  const [report] = await evaluateArithmetic(endless, [problem], { follow: true, now: () => 0 });
  const { spans } = await endless
    .generate(problem.prompt, { temperature: 0, maxTokens: model.contextLength, statements: true })
    .result();
  expect(report.statements).toBeGreaterThan(MOST_INTERVALS);
  expect(report.all.read).toBeLessThan(report.all.inAll);
  expect(report.all).toEqual({ read: spans?.positionsRead, inAll: spans?.positionsInAll });
});

/** The model with headers that see one another alone, generating lines until its context is full. */
function endlessLines({ executor: real, file, tokenizer, spans }: Model): Model {
  if (spans === undefined) throw new Error("calc states its spans");
  const { control } = spans.rules;
  const executor: Executor = {
    name: real.name,
    program: real.program,
    limits: real.limits,
    weightBytes: real.weightBytes,
    keyValueBytes: real.keyValueBytes,
    async step(step, signal) {
      const logits = (await real.step(step, signal)).map(() => 0);
      logits[step.positions[step.positions.length - 1] % 2 === 0 ? control.span : control.end] = 1;
      return logits;
    },
    readBytes: (attended, phase) => real.readBytes(attended, phase),
    dispose: async () => undefined,
  };
  const rules = { ...spans.rules, headers: "skeleton" as const };
  return new Model({
    file,
    tokenizer,
    executor,
    generationDefaults: {},
    spans: { ...spans, rules },
    loadMs: 0,
    now: () => 0,
  });
}
