/**
 * The machine that the accelerator simulator assumes: a square output-stationary array of 4-bit processing
 * elements (2 x 2 of them make one 8-bit multiply-accumulate, 4 x 4 one of 16 bits), double-buffered
 * scratchpads, a vector unit and DRAM. Organisation after Tender (Lee et al., ISCA 2024, arXiv
 * 2406.12930); sizes are inputs, and where a preset assumes one its `source` says so. Energies are inputs
 * too, none is the paper's.
 */
import { OptionError } from "../../errors.ts";
import { nearestName } from "../../session/nearest-name.ts";

export interface ArrayHardware {
  readonly name: string;
  /** 4-bit processing elements per side, a multiple of 4. */
  readonly side: number;
  readonly clockHz: number;
  readonly dramBytesPerSecond: number;
  /** Bytes of each of the input and the weight scratchpad; they are filled while they are read. */
  readonly scratchpadBytes: number;
  /** Float operations of the vector unit per cycle. */
  readonly vectorLanes: number;
  readonly source: string;
}

const HARDWARE_PRESETS: readonly ArrayHardware[] = [
  {
    name: "array-64",
    side: 64,
    clockHz: 1e9,
    dramBytesPerSecond: 256e9,
    scratchpadBytes: 512 * 1024,
    vectorLanes: 64,
    source:
      "side and lanes as reported of Tender's design; 1 GHz, one HBM2 stack (1024 bit at 2 Gbit/s) and 512 KiB scratchpads are assumed",
  },
  {
    name: "edge-32",
    side: 32,
    clockHz: 0.8e9,
    dramBytesPerSecond: 51.2e9,
    scratchpadBytes: 128 * 1024,
    vectorLanes: 32,
    source: "all assumed: a quarter of the array at 0.8 GHz on 64 bit of LPDDR5-6400",
  },
  {
    name: "server-128",
    side: 128,
    clockHz: 1e9,
    dramBytesPerSecond: 1024e9,
    scratchpadBytes: 2048 * 1024,
    vectorLanes: 256,
    source: "all assumed: four times the array at 1 GHz on four HBM2 stacks",
  },
];

export const HARDWARE_NAMES: readonly string[] = HARDWARE_PRESETS.map(({ name }) => name);

/** The preset of that name. Throws OptionError naming the nearest known one. */
export function findHardware(name: string): ArrayHardware {
  const preset = HARDWARE_PRESETS.find((candidate) => candidate.name === name);
  if (preset !== undefined) return preset;
  throw new OptionError(
    `hardware: unknown "${name}" - did you mean "${nearestName(name, HARDWARE_NAMES)}"? Known: ${HARDWARE_NAMES.join(", ")}`,
  );
}

/** Operand widths of the array. */
export type OperandBits = 4 | 8 | 16;

/** Multiply-accumulate units per side at an operand width. */
export function arraySide({ side }: ArrayHardware, bits: OperandBits): number {
  return (side * 4) / bits;
}

/** Picojoules of one event each. */
export interface EnergyCosts {
  readonly mac4: number;
  readonly mac8: number;
  readonly mac16: number;
  /** Per byte read from or written to a scratchpad or the output buffer. */
  readonly sram: number;
  /** Per byte moved to or from DRAM. */
  readonly dram: number;
  /** Per float operation of the vector unit. */
  readonly vector: number;
}

/**
 * Defaults for 45 nm from Horowitz (ISSCC 2014): 8-bit multiply 0.2 plus 32-bit add 0.1; 16-bit float
 * multiply 1.1 plus 32-bit float add 0.9; 32-bit float multiply 3.7 plus add 0.9; 20 pJ per 8 bytes of a 32
 * KB SRAM. DRAM: HBM2 at about 3.9 pJ per bit (O'Connor et al., MICRO 2017). The 4-bit multiply is assumed a
 * quarter of the 8-bit one.
 */
export const DEFAULT_ENERGY: EnergyCosts = {
  mac4: 0.15,
  mac8: 0.3,
  mac16: 2,
  sram: 2.5,
  dram: 31.2,
  vector: 4.6,
};

export const DEFAULT_ENERGY_SOURCE =
  "arithmetic and SRAM: Horowitz, ISSCC 2014 (45 nm); DRAM: HBM2 at 3.9 pJ/bit, O'Connor et al., MICRO 2017; " +
  "4-bit multiply assumed a quarter of the 8-bit one";

export const ENERGY_KEYS = [
  "mac4",
  "mac8",
  "mac16",
  "sram",
  "dram",
  "vector",
] as const satisfies (keyof EnergyCosts)[];

/** Energy of one multiply-accumulate at a width, in picojoules. */
export function macEnergy(costs: EnergyCosts, bits: OperandBits): number {
  switch (bits) {
    case 4:
      return costs.mac4;
    case 8:
      return costs.mac8;
    case 16:
      return costs.mac16;
  }
}
