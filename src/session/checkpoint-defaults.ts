/**
 * Sampling settings that a checkpoint recommends: generation_config.json of Hugging Face folders, whose keys
 * are those of transformers' GenerationConfig. They apply only where it says `do_sample: true`, as its
 * temperature and filters mean nothing otherwise. GGUF files carry no such settings.
 */
import { z } from "zod";
import { FormatError } from "../errors.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { type GenerationOptions, mergeOptions } from "./options.ts";

const schema = z.object({
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).nullish(),
  top_k: z.number().int().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).nullish(),
});

/**
 * The checkpoint's own sampling settings, empty when it has none. Throws FormatError on values out of range.
 */
export function readCheckpointDefaults(file: ModelFile): GenerationOptions {
  if (file.container !== "huggingface" || file.generationConfig === undefined) return {};
  const parsed = schema.safeParse(file.generationConfig);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new FormatError(
      `generation_config.json: ${issue.path.join(".")}: ${issue.message} - correct or delete the key in ${file.name}`,
    );
  }
  const config = parsed.data;
  if (config.do_sample !== true) return {};
  return mergeOptions({
    temperature: config.temperature ?? undefined,
    topK: config.top_k ?? undefined,
    topP: config.top_p ?? undefined,
    minP: config.min_p ?? undefined,
    repetitionPenalty: config.repetition_penalty ?? undefined,
  });
}
