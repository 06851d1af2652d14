/** The command line on a real trained model: the text that karpathy's run.c prints, on both executors. */
import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { dataPath, describeWithData } from "../shared-data.ts";
import { skim } from "./skim-process.ts";

describeWithData("stories260K on the command line", () => {
  const model = dataPath("models/stories260K/stories260K.gguf");
  const reference = (name: string) => readFile(dataPath("reference/stories260K", name), "utf8");
  const greedy = ["run", "--model", model, "--raw", "--temperature", "0"];

  it.each(["wasm", "reference"])("prints the expected text, byte for byte (%s)", async (executor) => {
    const args = [...greedy, "--prompt", "", "--max-tokens", "200", "--executor", executor];
    const { code, stdout } = await skim(args);
    expect(code).toBe(0);
    expect(stdout).toBe(await reference("expected_llama2c_test_all.txt"));
  });

  it.each(["wasm", "reference"])("generates the expected ids for every prompt (%s)", async (executor) => {
    const lines = (await reference("greedy.jsonl")).trim().split("\n");
    for (const line of lines) {
      const expected = JSON.parse(line);
      const count = String(expected.greedy_tokens.length);
      const args = [...greedy, "--prompt", expected.prompt, "-n", count, "--json", "--executor", executor];
      const json = JSON.parse((await skim(args)).stdout);
      expect(json.promptTokenIds).toEqual(expected.prompt_tokens);
      expect(json.tokenIds).toEqual(expected.greedy_tokens);
    }
  });

  it.each(["wasm", "reference"])("measures the expected loss of a text (%s)", async (executor) => {
    const text = dataPath("reference/stories260K/text_a.txt");
    const args = ["eval", "perplexity", "--model", model, "--text", text, "--protocol", "document"];
    const { stdout } = await skim([...args, "--kv-format", "f32", "--executor", executor, "--json"]);
    const report = JSON.parse(stdout);
    expect(report.tokensScored).toBe(373);
    expect(Math.abs(report.meanNll - 1.315989)).toBeLessThan(1e-4);
  });
});
