/**
 * Bandwidths of machines to simulate, in bytes per second (GB = 1e9 B as everywhere in this
 * simulator). They are peak figures of the interfaces: reads of a few kilobytes, as single columns
 * are, stay below them on real flash.
 */
import { OptionError } from "../../errors.ts";
import { nearestName } from "../../session/nearest-name.ts";

export interface MemoryDevice {
  readonly name: string;
  readonly dramBytesPerSecond: number;
  readonly flashBytesPerSecond: number;
  readonly source: string;
}

const MEMORY_DEVICES: readonly MemoryDevice[] = [
  {
    name: "apple-a18",
    dramBytesPerSecond: 60e9,
    flashBytesPerSecond: 1e9,
    source:
      "DRAM: 64 bit of LPDDR5X-7500; flash: the round figure the DIP paper's simulator is reported to use",
  },
  {
    name: "snapdragon-8-gen-3",
    dramBytesPerSecond: 76.8e9,
    flashBytesPerSecond: 4.2e9,
    source:
      "DRAM: 64 bit of LPDDR5X at 4800 MHz (Qualcomm's product brief); flash: UFS 4.0 sequential read (Samsung, 2022)",
  },
  {
    name: "jetson-orin-nano",
    dramBytesPerSecond: 68e9,
    flashBytesPerSecond: 3.9e9,
    source: "DRAM: 8 GB module at 68 GB/s (NVIDIA's data sheet); flash: NVMe at the link rate of PCIe 3.0 x4",
  },
  {
    name: "raspberry-pi-5",
    dramBytesPerSecond: 17.1e9,
    flashBytesPerSecond: 0.5e9,
    source: "DRAM: 32 bit of LPDDR4X-4267; flash: NVMe at the link rate of its PCIe 2.0 x1",
  },
];

export const DEVICE_NAMES: readonly string[] = MEMORY_DEVICES.map(({ name }) => name);

/** The device of that name. Throws OptionError naming the nearest known one. */
export function findDevice(name: string): MemoryDevice {
  const device = MEMORY_DEVICES.find((candidate) => candidate.name === name);
  if (device !== undefined) return device;
  throw new OptionError(
    `device: unknown "${name}" - did you mean "${nearestName(name, DEVICE_NAMES)}"? Known: ${DEVICE_NAMES.join(", ")}`,
  );
}
