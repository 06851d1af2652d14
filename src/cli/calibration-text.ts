/** --text of commands that look at a model's activations: running text, or .jsonl with prompt and answer. */
import type { ModelFile } from "../formats/model-file.ts";
import { readSegments, SEGMENT_TOKENS, type Segment } from "../methods/calibration-segments.ts";
import type { Program } from "../program/program.ts";
import { holdsExamples, readTextFlag } from "./text-file.ts";

export const CALIBRATION_TEXT =
  "text like what the model will see; .jsonl with prompt and answer: an example per segment";

/** At most `maxSegments` segments of a file. Errors of reading it and of text that shows nothing. */
export async function readCalibration(
  file: ModelFile,
  { contextLength }: Program,
  name: string,
  maxSegments: number,
): Promise<Segment[]> {
  const text = await readTextFlag(name, "--text");
  const examples = holdsExamples(name);
  // Examples are as long as they are.
  const segmentTokens = examples ? contextLength : Math.min(SEGMENT_TOKENS, contextLength);
  return readSegments(file, text, { segmentTokens, maxSegments, examples });
}
