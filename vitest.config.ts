import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"],
    exclude: ["**/node_modules/**", "dist/**"],
    // Only what hangs should fail: tests that train take half a minute on a free machine, and CI machines are not free.
    testTimeout: 240_000,
    // Two cores is the machine skim is measured on; more forks than cores only add memory pressure.
    maxWorkers: 2,
  },
});
