/**
 * Runs a row of the case table on the wasm executor, one thread under a guard of the whole memory.
 */
import { type CaseResult, caseFile, caseLimits, runCase } from "../../src/executors/case-runner.ts";
import type { ExecutorOptions } from "../../src/executors/executor.ts";
import { readColumnOrders } from "../../src/executors/wasm/column-order.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { KernelCase } from "../../src/kernels/kernel-case.ts";
import type { InlinePlatform } from "./inline-platform.ts";
import { MemoryGuard } from "./memory-guard.ts";

/** The row's result; what the guard finds joins the failures. */
export async function runGuarded(
  platform: InlinePlatform,
  kernelCase: KernelCase,
  simd: "relaxed" | "plain",
): Promise<CaseResult> {
  const { keyValueFormat, weightFormat } = kernelCase;
  const settings = { threads: 1, simd };
  const limits = caseLimits(kernelCase);
  const options: ExecutorOptions = {
    ...settings,
    limits,
    keyValueFormat,
    weightFormat,
    onProgress: undefined,
  };
  const orders = await readColumnOrders(kernelCase.program, caseFile(kernelCase));
  let guard: MemoryGuard | undefined;
  const damages: string[] = [];
  const result = await runCase(
    kernelCase,
    (program, file, rest) => createWasmExecutor(platform, program, file, { ...rest, ...settings }),
    {
      onReady: () => {
        guard = new MemoryGuard(kernelCase, options, orders, platform.memory());
      },
      onStep: (index) => {
        const damage = guard?.check(kernelCase.steps[index]);
        if (damage !== undefined) damages.push(`step ${index}: ${damage}`);
      },
    },
  );
  return { ...result, failures: [...result.failures, ...damages] };
}
