/**
 * Loads a tiny random model that exists only in memory, for tests of what lies above the executors. The reference
 * executor runs it, so no build is needed.
 */
import { stringField } from "../src/formats/gguf-values.ts";
import { createSyntheticCheckpoint, writeSyntheticGguf } from "../src/models/synthetic/checkpoint.ts";
import { syntheticShape } from "../src/models/synthetic/shape.ts";
import { memorySink, memorySource } from "../src/platform/memory.ts";
import type { Platform } from "../src/platform/types.ts";
import { f32 } from "../src/quantization/f32.ts";
import { loadModelOn } from "../src/session/load-model.ts";
import type { Model } from "../src/session/model.ts";
import type { LoadOptions } from "../src/session/options.ts";

/** Roles as plain words; the assistant's turns end with </s> as its generations do. */
export const CHAT_TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role == 'assistant' else '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

export interface SyntheticModelOptions extends LoadOptions {
  readonly chatTemplate?: string;
}

/** A Llama-shaped model of two layers with a context of 256. */
export async function loadSyntheticModel(options: SyntheticModelOptions = {}): Promise<Model> {
  const { chatTemplate, ...load } = options;
  const checkpoint = createSyntheticCheckpoint("llama", syntheticShape("llama"), 1);
  const metadata = new Map(checkpoint.metadata);
  if (chatTemplate !== undefined) metadata.set("tokenizer.chat_template", stringField(chatTemplate));
  const sink = memorySink("synthetic.gguf");
  await writeSyntheticGguf({ ...checkpoint, metadata }, sink, f32);
  const bytes = sink.bytes();
  if (bytes === undefined) throw new Error("the synthetic model was not finished");
  return loadModelOn(memoryPlatform(bytes), "synthetic.gguf", {
    ...load,
    engine: { executor: "reference", ...load.engine },
  });
}

/** A platform with one file and a clock; it has no workers, as the reference executor needs none. */
function memoryPlatform(bytes: Uint8Array): Platform {
  const refuse = () => {
    throw new Error("the memory platform runs no kernels");
  };
  return {
    runtime: "memory",
    coreCount: 1,
    open: async (path) => ({ file: memorySource(path, bytes) }),
    loadKernels: refuse,
    startWorker: refuse,
    enableRelaxedSimd: () => false,
    now: () => performance.now(),
    peakMemoryBytes: () => 0,
  };
}
