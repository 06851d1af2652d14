// Runs a piece of work in a fresh process: an engine that aborts takes only its own process with it, and nothing an
// earlier run left behind (memory, compiled code, thread pools) changes the next one's timing.
// Protocol: the parent sends one job; the child answers { result } or { error } once and exits.
import { fork } from "node:child_process";
import path from "node:path";

/** Most of a failed child's stderr that is quoted. */
const QUOTED_CHARACTERS = 1500;

/**
 * Runs a module of this folder in its own process and resolves to its result. Rejects with the child's error, or with
 * its exit status when it died, and the end of its stderr.
 * @param {string} module file name of a module that calls `answerJob`
 * @param {import("node:child_process").Serializable} job sent by structured clone
 * @returns {Promise<any>}
 */
export function runInChild(module, job) {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(import.meta.dirname, module), [], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let stderr = "";
    let answer;
    child.stderr?.on("data", (text) => {
      stderr = (stderr + text).slice(-QUOTED_CHARACTERS);
    });
    child.on("message", (message) => {
      answer = message;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (answer === undefined) {
        reject(new Error(`${module}: died with ${signal ?? `exit code ${code}`}\n${stderr}`));
      } else if (answer.error !== undefined) {
        reject(new Error(`${module}: ${answer.error}\n${stderr}`));
      } else {
        resolve(answer.result);
      }
    });
    child.send(job);
  });
}

/**
 * The child's side: does the one job and answers.
 * @param {(job: any) => Promise<unknown>} work
 */
export function answerJob(work) {
  process.once("message", async (job) => {
    const answer = await work(job).then(
      (result) => ({ result }),
      (error) => ({ error: error instanceof Error ? error.message : String(error) }),
    );
    // Exit explicitly: native thread pools would keep the process alive.
    process.send?.(answer, () => process.exit(0));
  });
}
