import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ResourceError } from "../errors.ts";
import { TrainProgress } from "./train-progress.ts";

const terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-progress-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("continues a log without what comes after the checkpoint, and starts one that was deleted", async () => {
  const log = path.join(folder, "log.jsonl");
  new TrainProgress(terminal, log, 9, { step: 4, tokens: 40 }).evaluation(5, 1, true);
  new TrainProgress(terminal, log, 9, { step: 5, tokens: 50 }).evaluation(6, 0.5, true);
  new TrainProgress(terminal, log, 9, { step: 5, tokens: 50 });
  expect(await readFile(log, "utf8")).toBe('{"step":5,"validationLoss":1,"isBest":true}\n');
});

test("says that a log cannot be written", () => {
  const start = () =>
    new TrainProgress(terminal, path.join(folder, "nowhere", "log"), 9, { step: 0, tokens: 0 });
  expect(start).toThrow(ResourceError);
  expect(start).toThrow(/log: cannot be written \(ENOENT\) - make room/);
});
