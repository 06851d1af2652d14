// llama.cpp through node-llama-cpp: the prebuilt CPU library, a fixed number of threads, one sequence.
import { getLlama, getModuleVersion, LlamaLogLevel } from "node-llama-cpp";

/**
 * Loads a GGUF file into a context. Flash attention is off unless asked for: it computes in f16 on the CPU.
 * @param {{ model: string, contextLength: number, batchSize: number, threads: number, keyValueFormat: "f16" | "f32", flashAttention?: boolean }} options
 */
export async function openLlamaCpp(options) {
  const llama = await getLlama({
    gpu: false,
    build: "never",
    maxThreads: options.threads,
    logLevel: LlamaLogLevel.error,
    logger: (level, message) => process.stderr.write(`llama.cpp ${level}: ${message}\n`),
  });
  const model = await llama.loadModel({ modelPath: options.model });
  const type = options.keyValueFormat === "f16" ? "F16" : "F32";
  const context = await model.createContext({
    contextSize: options.contextLength,
    batchSize: options.batchSize,
    threads: { ideal: options.threads, min: options.threads },
    sequences: 1,
    flashAttention: options.flashAttention ?? false,
    experimentalKvCacheKeyType: type,
    experimentalKvCacheValueType: type,
  });
  const versions = {
    release: llama.llamaCppRelease.release,
    package: `node-llama-cpp ${await getModuleVersion()}`,
  };
  return { sequence: context.getSequence(), versions };
}
