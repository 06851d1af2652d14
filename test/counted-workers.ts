/** Node's platform, and how many of the workers that it started run. */
import { nodePlatform } from "../src/platform/node.ts";
import type { Platform } from "../src/platform/types.ts";

export function countedWorkers(): { readonly platform: Platform; readonly running: () => number } {
  const whole = nodePlatform();
  let running = 0;
  const platform: Platform = {
    ...whole,
    startWorker(role) {
      const worker = whole.startWorker(role);
      running++;
      const terminate = async () => {
        running--;
        await worker.terminate();
      };
      return { ...worker, terminate };
    },
  };
  return { platform, running: () => running };
}
