/**
 * `skim simulate accelerator`: cycles and energy of quantized layers on a systolic array,
 * Tender against others.
 */
import { type Command, InvalidArgumentError } from "commander";
import { listDesigns } from "../simulation/accelerator/designs.ts";
import {
  type ArrayHardware,
  DEFAULT_ENERGY,
  DEFAULT_ENERGY_SOURCE,
  ENERGY_KEYS,
  type EnergyCosts,
  findHardware,
  HARDWARE_NAMES,
} from "../simulation/accelerator/hardware.ts";
import { simulateAccelerator } from "../simulation/accelerator/simulate-accelerator.ts";
import { parseTransformerShape, SHAPE_NAMES } from "../simulation/model-shapes.ts";
import { realNumber, wholeNumber, wholeNumbers } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { type AcceleratorReport, printAcceleratorReport } from "./simulate-accelerator-text.ts";
import { printJson, type Terminal } from "./terminal.ts";

interface AcceleratorFlags {
  readonly shape: string[];
  readonly rows: number[];
  readonly bits: (4 | 8)[];
  readonly groups?: number;
  readonly outlierShare: number;
  readonly groupSize: number;
  readonly attended?: number;
  readonly hardware: string;
  readonly arraySide?: number;
  readonly clock?: number;
  readonly dramBandwidth?: number;
  readonly scratchpad?: number;
  readonly vectorLanes?: number;
  readonly energy: EnergyCosts;
  readonly byMatmul?: boolean;
  readonly json?: boolean;
}

/** Group counts when --groups does not say: what the paper's code uses for Llama-2-7B at 4 and 8 bits. */
const DEFAULT_GROUPS = { 4: 14, 8: 8 } as const;

const EXAMPLES = `
Examples:
  $ skim simulate accelerator
  $ skim simulate accelerator --shape llama-2-7b --rows 1,256,2048 --bits 4 --groups 14 --by-matmul
  $ skim simulate accelerator --attended 2048 --dram-bandwidth 128 --energy dram=40,mac4=0.1 --json

What is simulated: one transformer layer on an output-stationary array of 4-bit elements, in four designs:
  tender      channel groups a factor 2 apart; one cycle of shift between groups, one rescale per output
  plain       one scale per tensor (fast, and the one whose quality breaks on outliers)
  mixed       outlier channels as a second matmul of 16 bits, merged in the vector unit
  groupwise   a float scale per group of channels; accumulators leave the array after every group
cycles = ceil(M/e) ceil(N/e) (K + stalls + 2 (e-1) + e), e = elements per side at that width. Time is the longer of
array and DRAM per matmul plus the vector unit; "no overlap" is the plain sum. These are models of ideas on equal
hardware, not of other chips, and say nothing about quality.

Energy is counted events times constants in pJ; the defaults are
  ${DEFAULT_ENERGY_SOURCE}.
Shapes: ${SHAPE_NAMES.join(", ")},
or dimensions: layers=5,d=64,ff=172,heads=8,kv=4,vocab=512 (one model). Hardware: ${HARDWARE_NAMES.join(", ")}.`;

export function addSimulateAcceleratorCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command("accelerator")
    .description("cycles and energy of quantized layers on a systolic array (simulated)")
    .addHelpText("after", EXAMPLES)
    .option("--shape <name,...|dims>", "models", parseShapeList, ["opt-6.7b", "llama-2-7b", "phi-3-medium"])
    .option(
      "--rows <M,...>",
      "tokens that run together: a prompt, or 1 for decode",
      wholeNumbers(1),
      [2048, 1],
    )
    .option("--bits <b,...>", "operand widths, 4 or 8", parseBits, [4, 8])
    .option("--groups <G>", "Tender's groups (default: 14 at 4 bits, 8 at 8 bits)", wholeNumber(1, 1024))
    .option("--outlier-share <x>", "mixed: share of outlier channels (assumed)", realNumber(0, 0.999), 0.01)
    .option("--group-size <n>", "groupwise: channels per scale", wholeNumber(1), 128)
    .option("--attended <n>", "include attention's matmuls over so many positions", wholeNumber(1));
  command
    .option("--hardware <name>", "array, scratchpads, memory", "array-64")
    .option("--array-side <n>", "4-bit elements per side, a multiple of 4", wholeNumber(4, 65536))
    .option("--clock <GHz>", "instead of the preset's", realNumber(1e-3, 100))
    .option("--dram-bandwidth <GB/s>", "instead of the preset's", realNumber(1e-3, 1e6))
    .option("--scratchpad <KiB>", "input and weight scratchpad, each", realNumber(1, 1e6))
    .option("--vector-lanes <n>", "float operations per cycle", wholeNumber(1, 65536))
    .option("--energy <name=pJ,...>", `any of ${ENERGY_KEYS.join(", ")}`, parseEnergy, DEFAULT_ENERGY)
    .option("--by-matmul", "also list every matmul")
    .option("--json", "print one JSON object")
    .action((flags: AcceleratorFlags) => simulate(terminal, flags));
}

function simulate(terminal: Terminal, flags: AcceleratorFlags): void {
  const hardware = readHardware(flags);
  const shapes = flags.shape.map(parseTransformerShape);
  const designs = flags.bits.flatMap((bits) =>
    listDesigns({ ...flags, bits, groups: flags.groups ?? DEFAULT_GROUPS[bits] }),
  );
  const report: AcceleratorReport = {
    simulated: "simulated cycles, time and energy",
    hardware,
    energyPicojoules: flags.energy,
    energySource: flags.energy === DEFAULT_ENERGY ? DEFAULT_ENERGY_SOURCE : "given on the command line",
    rows: shapes.flatMap((shape) =>
      flags.rows.flatMap((rows) =>
        designs.map((design) =>
          simulateAccelerator(shape, rows, flags.attended, design, hardware, flags.energy),
        ),
      ),
    ),
  };
  if (flags.json === true) printJson(terminal, report);
  else printAcceleratorReport(terminal, report, flags.byMatmul === true);
}

function readHardware(flags: AcceleratorFlags): ArrayHardware {
  const preset = findHardware(flags.hardware);
  const { arraySide, clock, dramBandwidth, scratchpad, vectorLanes } = flags;
  if (arraySide !== undefined && arraySide % 4 !== 0) {
    throw new UsageError(`simulate accelerator: --array-side, expected a multiple of 4, got ${arraySide}`);
  }
  const given = [arraySide, clock, dramBandwidth, scratchpad, vectorLanes].some(
    (value) => value !== undefined,
  );
  if (!given) return preset;
  return {
    name: `${preset.name}, changed`,
    side: arraySide ?? preset.side,
    clockHz: clock === undefined ? preset.clockHz : clock * 1e9,
    dramBytesPerSecond: dramBandwidth === undefined ? preset.dramBytesPerSecond : dramBandwidth * 1e9,
    scratchpadBytes: scratchpad === undefined ? preset.scratchpadBytes : scratchpad * 1024,
    vectorLanes: vectorLanes ?? preset.vectorLanes,
    source: `given on the command line, the rest: ${preset.source}`,
  };
}

/** Names are listed with commas; a shape given by dimensions has commas of its own. */
function parseShapeList(text: string): string[] {
  return text.includes("=") ? [text] : text.split(",").map((part) => part.trim());
}

function parseBits(text: string): (4 | 8)[] {
  return text.split(",").map((part) => {
    if (part.trim() === "4") return 4;
    if (part.trim() === "8") return 8;
    throw new InvalidArgumentError("Expected 4, 8 or both.");
  });
}

function parseEnergy(text: string): EnergyCosts {
  const costs: Record<keyof EnergyCosts, number> = { ...DEFAULT_ENERGY };
  for (const part of text.split(",")) {
    const [name, value = ""] = part.split("=").map((side) => side.trim());
    const key = ENERGY_KEYS.find((known) => known === name);
    if (key === undefined) throw new InvalidArgumentError(`Expected names out of ${ENERGY_KEYS.join(", ")}.`);
    costs[key] = realNumber(0, 1e6)(value);
  }
  return costs;
}
