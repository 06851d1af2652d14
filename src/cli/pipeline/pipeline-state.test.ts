import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ResourceError } from "../../errors.ts";
import { readStages, writeStages } from "./pipeline-state.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-state-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("reads the stages it wrote, and none where nothing was written", async () => {
  expect(await readStages(path.join(folder, "nowhere"))).toEqual([]);
  await writeStages(folder, [{ key: "a" }, { key: "b" }]);
  expect(await readStages(folder)).toEqual([{ key: "a" }, { key: "b" }]);
});

test.each([
  ["no JSON", '{"version": 1, "sta'],
  ["of another version", '{"version": 0, "stages": []}'],
])("refuses a record that is %s and says what to remove", async (_, text) => {
  await writeFile(path.join(folder, "state.json"), text);
  const reading = readStages(folder);
  await expect(reading).rejects.toBeInstanceOf(ResourceError);
  await expect(reading).rejects.toThrow(`remove ${folder} to start over`);
});
