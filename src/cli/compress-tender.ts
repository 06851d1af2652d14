/**
 * `skim compress tender`: quantizes weights and activations to 8 or 4 bits in power-of-two channel groups.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { DEFAULT_GROUPS, maxGroups } from "../methods/tender/codes.ts";
import { compressTender, type TenderOptions } from "../methods/tender/compress.ts";
import { type Prepared, prepareTender } from "../methods/tender/prepare.ts";
import { type RoundingSearch, searchRounding } from "../methods/tender/rounding-search.ts";
import { createFolderSink, nodePlatform } from "../platform/node.ts";
import type { Platform } from "../platform/types.ts";
import { withFile } from "../platform/with-file.ts";
import { THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { CALIBRATION_TEXT } from "./calibration-text.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { fillFolder } from "./model-folder.ts";
import { withProgress } from "./progress.ts";
import { formatSize, printJson, printNote, type Terminal } from "./terminal.ts";
import { holdsExamples, readTextFlag } from "./text-file.ts";

interface TenderFlags {
  readonly model: string;
  readonly text: string;
  readonly bits: 4 | 8 | 16;
  readonly weightBits?: 4 | 8;
  readonly groups?: number;
  readonly chunkRows?: number;
  readonly rounding: "up" | "down" | "search";
  readonly channelBias: boolean;
  readonly attention?: boolean;
  readonly head: boolean;
  readonly context: number;
  readonly segments: number;
  readonly threads?: number;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim compress tender --model llama.gguf --text calibration.txt --bits 8 --out llama-w8a8
  $ skim compress tender --model llama.gguf --text calibration.txt --bits 8 --weight-bits 4 --out llama-w4a8
  $ skim compress tender --model llama.gguf --text calibration.txt --bits 4 --groups 8 --chunk-rows 256 --out llama-w4a4
  $ skim compress tender --model llama.gguf --text calibration.txt --bits 8 --attention --out llama-w8a8-all
  $ skim compress tender --model llama.gguf --text calibration.txt --bits 16 --weight-bits 4 --out llama-w4a16

--bits is the width of activations: 8 and 4 have static scales per channel group, 16 leaves them nearly exact (weights
only). The result is a folder that run, chat, eval, bench and inspect load. The output head keeps 8 bits.`;

const bits =
  <Width extends number>(...widths: Width[]) =>
  (text: string): Width => {
    const width = widths.find((candidate) => String(candidate) === text);
    if (width === undefined) throw new InvalidArgumentError(`Expected one of ${widths.join(", ")}.`);
    return width;
  };

export function addTenderCommand(group: Command, terminal: Terminal): void {
  group
    .command("tender")
    .description("integer weights and activations in power-of-two channel groups (Tender, ISCA 2024)")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", CALIBRATION_TEXT)
    .requiredOption("--bits <n>", "bits of activations: 8, 4 or 16", bits(4, 8, 16))
    .option("--weight-bits <n>", "bits of weights: 8 or 4 (default: those of the activations)", bits(4, 8))
    .option(
      "--groups <n>",
      "most channel groups (default: 8; 5 for 4 bits, whose codes then fit a byte; 1 for 16 bits)",
      wholeNumber(1, maxGroups(4)),
    )
    .option("--chunk-rows <n>", "positions that share ranges (default: all)", wholeNumber(1))
    .addOption(
      new Option(
        "--rounding <way>",
        "group ranges cover the calibration (up), clip to finer scales (down), or whatever loses less on the first segment",
      )
        .choices(["up", "down", "search"])
        .default("up"),
    )
    .option(
      "--attention",
      "make the two products of attention of integers too (slower; the cache keeps floats)",
    )
    .option("--no-channel-bias", "do not centre channels before quantizing")
    .option("--no-head", "leave the output head as it is")
    .option("-c, --context <n>", "tokens per calibration segment", wholeNumber(2), 2048)
    .option("--segments <n>", "most segments of the text to use", wholeNumber(1), 128)
    .option(...THREADS_FLAG)
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: TenderFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: TenderFlags): Promise<void> {
  const settings = readSettings(flags);
  const text = await readTextFlag(flags.text, "--text");
  const platform = nodePlatform();
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(platform, flags.model), async (file) => {
      // The folder comes first: nobody wants to learn after an hour that it cannot be created.
      const sink = await createFolderSink(flags.out);
      try {
        const prepared = await withProgress(terminal, "calibrating", "tokens", (onProgress) =>
          prepareTender(platform, file, text, {
            chunkRows: flags.chunkRows,
            segmentTokens: flags.context,
            maxSegments: flags.segments,
            examples: holdsExamples(flags.text),
            threads: flags.threads ?? platform.coreCount,
            attention: flags.attention,
            signal,
            onProgress,
          }),
        );
        const calibration = prepared.facts;
        const { result, losses } = await withProgress(terminal, "quantizing", "weights", (onProgress) =>
          quantize(platform, file, prepared, flags, { ...settings, calibration, signal, onProgress }),
        );
        await fillFolder(terminal, result.file, sink, signal);
        const summary = {
          out: flags.out,
          ...result.recipe.settings,
          ...(losses && { roundingLosses: losses }),
          calibration,
          sourceBytes: file.tensorBytes,
          bytes: result.file.tensorBytes,
        };
        if (flags.json === true) printJson(terminal, summary);
        else {
          const { weightBits, activationBits } = settings;
          printNote(
            terminal,
            `wrote ${flags.out}: W${weightBits}A${activationBits}, ${formatSize(summary.sourceBytes)} of tensors became ${formatSize(summary.bytes)}, calibrated on ${calibration.tokens} tokens`,
          );
        }
      } catch (error) {
        await sink.abort();
        throw error;
      }
    }),
  );
}

/** The setting that was asked for, or the better of both roundings and what each lost. */
async function quantize(
  platform: Platform,
  file: ModelFile,
  prepared: Prepared,
  flags: TenderFlags,
  options: Omit<TenderOptions, "rounding">,
): Promise<Omit<RoundingSearch, "losses"> & { readonly losses: RoundingSearch["losses"] | undefined }> {
  const { program, inputs, calibration } = prepared;
  const { rounding } = flags;
  if (rounding === "search") {
    return searchRounding(platform, file, prepared, options, flags.threads ?? platform.coreCount);
  }
  const result = await compressTender(file, program, inputs, calibration, { ...options, rounding });
  return { result, losses: undefined };
}

function readSettings(
  flags: TenderFlags,
): Omit<TenderOptions, "rounding" | "calibration" | "signal" | "onProgress"> {
  const weightBits = flags.weightBits ?? (flags.bits === 4 ? 4 : 8);
  const groups = flags.groups ?? DEFAULT_GROUPS[flags.bits];
  const most = flags.bits === 16 ? 1 : maxGroups(flags.bits);
  if (groups > most) {
    throw new UsageError(
      `compress tender: --groups ${groups}, expected at most ${most} for ${flags.bits}-bit activations - shifted codes must fit 16 bits`,
    );
  }
  if (flags.bits === 16 && flags.chunkRows !== undefined) {
    throw new UsageError(
      "compress tender: --chunk-rows means nothing with --bits 16, whose ranges are found per token",
    );
  }
  if (flags.bits === 16 && flags.attention === true) {
    throw new UsageError("compress tender: --attention needs activations of 8 or 4 bits, got --bits 16");
  }
  if (flags.bits === 16 && flags.rounding === "search") {
    throw new UsageError(
      "compress tender: --rounding search means nothing with --bits 16, whose ranges are found per token",
    );
  }
  return {
    activationBits: flags.bits,
    weightBits,
    groups,
    chunkRows: flags.chunkRows,
    channelBias: flags.channelBias,
    attention: flags.attention,
    headBits: flags.head ? 8 : undefined,
  };
}
