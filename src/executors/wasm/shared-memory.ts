/**
 * The one shared memory of an executor or trainer: its addresses are given out region after region before it
 * is allocated, once. All addresses are multiples of 64 bytes, so that no two regions share a cache line.
 */
import { ResourceError } from "../../errors.ts";

export const PAGE_BYTES = 65536;
/** 32-bit WebAssembly addresses. */
export const MAX_BYTES = 65536 * PAGE_BYTES;
/** Static data of the compiled kernels lies below. */
const FIRST_ADDRESS = PAGE_BYTES;
/** A cache line. */
export const LINE_BYTES = 64;

/** One area per thread. */
export interface ThreadArea {
  readonly address: number;
  readonly threadStride: number;
}

/** The next multiple of `unit`. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

export class Layouter {
  #next = FIRST_ADDRESS;

  take(bytes: number): number {
    const address = this.#next;
    this.#next += roundUp(bytes, LINE_BYTES);
    return address;
  }

  takePerThread(bytes: number, threads: number): ThreadArea {
    const threadStride = roundUp(bytes, LINE_BYTES);
    return { address: this.take(threadStride * threads), threadStride };
  }

  /** What comes next lies here. */
  get end(): number {
    return this.#next;
  }
}

/**
 * `what` starts the error and `advice` ends it. Throws ResourceError
 * when the platform refuses that much memory.
 */
export function allocateMemory(pages: number, what: string, advice: string): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (error) {
    throw new ResourceError(`${what}: cannot allocate ${Math.ceil(pages / 16)} MiB - ${advice}`, {
      cause: error,
    });
  }
}

/** Copies tapes one after the other to the area that the plan keeps for them; returns where each begins. */
export function placeTapes<Name extends string>(
  memory: WebAssembly.Memory,
  { tape, tapeBytes }: { readonly tape: number; readonly tapeBytes: number },
  tapes: Readonly<Record<Name, Uint32Array>>,
): Readonly<Record<Name, number>> {
  const places: Partial<Record<Name, number>> = {};
  let address = tape;
  for (const name in tapes) {
    const words = tapes[name];
    if (address + words.byteLength > tape + tapeBytes) throw new Error(`tape ${name}: the area is too small`);
    new Uint32Array(memory.buffer, address, words.length).set(words);
    places[name] = address;
    address += words.byteLength;
  }
  return places as Record<Name, number>;
}
