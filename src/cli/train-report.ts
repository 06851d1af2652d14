/** The report of `skim train`: written beside the model from the run's log when a run ends or is stopped. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { LogEntry, RunFacts } from "../report/training-report.ts";
import { writeTextFile } from "./text-file.ts";

export const TRAINING_REPORT = "training-report.html";

/** Writes the report of the run in `folder` from its log; the file appears complete or not at all. */
export async function writeTrainingReport(folder: string, log: string, facts: RunFacts): Promise<void> {
  const entries = readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogEntry);
  const { trainingReportHtml } = await import("../report/training-report.ts");
  const html = trainingReportHtml(`Training of ${path.basename(path.resolve(folder))}`, entries, facts);
  await writeTextFile(path.join(folder, TRAINING_REPORT), html);
}
