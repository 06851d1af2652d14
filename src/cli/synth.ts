/**
 * `skim synth`: a model with random weights in a real shape,
 * for measuring speed without downloading anything.
 */
import { type Command, Option } from "commander";
import { writeGguf } from "../formats/gguf-writer.ts";
import { elementCount } from "../formats/tensor-layout.ts";
import { createFileSink } from "../platform/node.ts";
import { formatBytes } from "../quantization/weight-format.ts";
import { wholeNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { withProgress } from "./progress.ts";
import { synthMetadata } from "./synth-metadata.ts";
import { parseShape, SHAPE_NAMES, type SynthShape } from "./synth-shape.ts";
import { SYNTH_FORMATS, synthTensors } from "./synth-weights.ts";
import { formatSize, printNote, type Terminal } from "./terminal.ts";

interface SynthFlags {
  readonly shape: string;
  readonly layers?: number;
  readonly format: keyof typeof SYNTH_FORMATS;
  readonly out: string;
  readonly seed: number;
}

const EXAMPLES = `
Examples:
  $ skim synth --shape tinyllama-1.1b --format q8_0 --out tinyllama.gguf
  $ skim synth --shape llama-3-8b --layers 4 --format q4_0 --out quarter.gguf
  $ skim synth --shape d=64,ff=160,layers=2,heads=8,kv=4,vocab=512 --format f16 --out tiny.gguf

Shapes: ${SHAPE_NAMES.join(", ")},
or dimensions d, ff, layers, heads, kv, vocab and optionally ctx (2048) and theta (10000).
Other programs that read GGUF can load the file. Same seed, same file.`;

export function addSynthCommand(program: Command, terminal: Terminal): void {
  program
    .command("synth")
    .description("write a GGUF model with random weights")
    .addHelpText("after", EXAMPLES)
    .requiredOption("--shape <name|dims>", "a named shape or dimensions")
    .option("--layers <n>", "layers instead of the shape's own number", wholeNumber(1, 4096))
    .addOption(
      new Option("--format <name>", "storage of the matrices")
        .choices(Object.keys(SYNTH_FORMATS))
        .makeOptionMandatory(),
    )
    .requiredOption("--out <file>", "file to write")
    .option("--seed <n>", "seed of the weights", wholeNumber(0, 0xffffffff), 0)
    .action((flags: SynthFlags) => synth(terminal, flags));
}

async function synth(terminal: Terminal, flags: SynthFlags): Promise<void> {
  const shape = parseShape(flags.shape, flags.layers);
  const storage = SYNTH_FORMATS[flags.format];
  checkRows(shape, storage.format.blockSize, flags.format);
  await withInterrupt(async (signal) => {
    const written = await withProgress(terminal, "writing", "bytes", async (onProgress) => {
      let bytes = 0;
      const tensors = synthTensors(shape, storage, flags.seed, (drawn) => {
        signal.throwIfAborted();
        bytes += drawn;
        onProgress(bytes, total);
      });
      const counts = tensors.map((tensor) => elementCount(tensor.shape));
      const total = tensors.reduce((sum, { format }, i) => sum + formatBytes(format, counts[i]), 0);
      await writeGguf(await createFileSink(flags.out), synthMetadata(shape, storage.fileType), tensors);
      return { total, parameters: counts.reduce((sum, count) => sum + count, 0) };
    });
    printNote(
      terminal,
      `wrote ${flags.out}: ${shape.name}, ${(written.parameters / 1e6).toFixed(2)} M parameters, ${formatSize(written.total)}, seed ${flags.seed}`,
    );
  });
}

/** Block formats cut rows into blocks, so every matrix must have whole blocks. */
function checkRows(shape: SynthShape, blockSize: number, format: string): void {
  for (const [name, columns] of [
    ["d", shape.width],
    ["ff", shape.feedForwardWidth],
  ] as const) {
    if (columns % blockSize !== 0) {
      throw new UsageError(
        `synth: ${name}, expected a multiple of ${blockSize} for ${format}, got ${columns} - use --format f16`,
      );
    }
  }
}
