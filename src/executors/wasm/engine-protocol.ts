/**
 * Messages between the executor and its engine worker. Tokens, logits and weights travel through the shared
 * memory; messages only say what to do with them. Requests are answered in order, each by one reply.
 */
import { z } from "zod";
import type { ColumnGeometry, ColumnLayout } from "./column-layout.ts";
import type { WeightLayout } from "./weight-layout.ts";

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
  readonly kernel: WeightLayout["packKernel"];
  readonly source: number;
  /** Room for a panel of converted rows. */
  readonly conversion: number;
  readonly rows: number;
  readonly columns: number;
  readonly target: number;
  readonly panelBytes: number;
  /** The order that columns are stored in, which pack_t4_ordered takes instead of `kernel`. */
  readonly order: { readonly address: number; readonly places: number } | undefined;
}

/** A step of loading a matrix that is read by columns: measures, packs or finishes the scales of one part. */
export interface ColumnsRequest extends ColumnGeometry {
  readonly kind: "columns";
  readonly phase: "measure" | "pack" | "finish";
  /** Names of the format the rows are in, and of the one the kernels take. */
  readonly format: string;
  readonly rowFormat: string;
  readonly storage: ColumnLayout["name"];
  readonly source: number;
  readonly rows: number;
  readonly columns: number;
  /** Where a unit of rows in another format goes. */
  readonly conversion: number;
  /** Place of the first row in its part; a multiple of a unit. */
  readonly firstRow: number;
  readonly part: number;
  /** The part's scales, f32 [columns]. */
  readonly scales: number;
}

/** Runs the tape that the control block names. */
export interface StepRequest {
  readonly kind: "step";
}

export type EngineRequest = PackRequest | ColumnsRequest | StepRequest;

/** `milliseconds` is what the request took inside the worker. */
export const engineReply = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("done"), stopped: z.boolean(), milliseconds: z.number() }),
  z.object({ kind: z.literal("failed"), message: z.string() }),
]);

export type EngineReply = z.infer<typeof engineReply>;
