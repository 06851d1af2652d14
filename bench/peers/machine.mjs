// What a results row must say about where and from what it was measured. Neither names nor paths of the machine.
import { execFileSync } from "node:child_process";
import os from "node:os";

/** Load per core above which a measurement is disturbed by something else. */
export const QUIET_LOAD_PER_CORE = 0.5;
/** Busy cores of other processes, averaged over one child's run, above which its figures are not worth keeping. */
export const QUIET_OTHER_CORES = 0.3;

export function describeMachine() {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    os: `${os.type()} ${os.release().split("-")[0]} ${os.arch()}`,
    node: process.versions.node,
    v8: process.versions.v8,
  };
}

/** Load averages of 1, 5 and 15 minutes, and the first of them per core. */
export function readLoad() {
  const averages = os.loadavg();
  return { averages, perCore: averages[0] / os.availableParallelism() };
}

/**
 * Starts watching how much of the machine other processes use; the returned function tells how many cores they kept
 * busy on average since then. Threads that wait for each other suffer from even one other busy core.
 */
export function watchOthers() {
  const [startedAt, busy, own] = [performance.now(), busyMilliseconds(), process.cpuUsage()];
  return () => {
    const elapsed = performance.now() - startedAt;
    const { user, system } = process.cpuUsage(own);
    return Math.max(0, (busyMilliseconds() - busy - (user + system) / 1000) / elapsed);
  };
}

function busyMilliseconds() {
  return os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

/** The commit of the build's sources, and whether tracked files differ from it: all but rows, which change no figure. */
export function readCommit() {
  const git = (...args) =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  const sources = [":/", ":(exclude,top)bench/results"];
  return {
    commit: git("rev-parse", "HEAD").trim(),
    modified: git("status", "--porcelain", "--untracked-files=no", "--", ...sources).trim() !== "",
  };
}
