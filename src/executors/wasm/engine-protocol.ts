/**
 * Messages between the executor and its engine worker. Tokens, logits and weights travel through the shared memory;
 * messages only say what to do with them. Requests are answered in order, each by one reply.
 */
import { z } from "zod";

/** First message to the engine worker and to every helper thread. */
export interface AttachMessage {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  /** 0 for the engine worker. */
  readonly thread: number;
}

/** Rearranges rows that lie in staging memory into panels. */
export interface PackRequest {
  readonly kind: "pack";
  /** Name of the format the rows are in, as in quantization/registry.ts. */
  readonly format: string;
  /** Name of the format the pack kernel takes; rows in another one are decoded and encoded first. */
  readonly rowFormat: string;
  readonly kernel: "pack_32" | "pack_16" | "pack_q8" | "pack_q4" | "pack_t8" | "pack_t4";
  readonly source: number;
  /** Room for a panel of converted rows. */
  readonly conversion: number;
  readonly rows: number;
  readonly columns: number;
  readonly target: number;
  readonly panelBytes: number;
}

/** Runs the tape that the control block names. */
export interface StepRequest {
  readonly kind: "step";
}

export type EngineRequest = PackRequest | StepRequest;

/** `milliseconds` is what the request took inside the worker. */
export const engineReply = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("done"), stopped: z.boolean(), milliseconds: z.number() }),
  z.object({ kind: z.literal("failed"), message: z.string() }),
]);

export type EngineReply = z.infer<typeof engineReply>;
