/**
 * Writes a model as a Hugging Face folder, with progress;
 * nothing is left behind where it fails or is interrupted.
 */
import { writeModelFolder } from "../formats/folder-writer.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { createFolderSink } from "../platform/node.ts";
import { withProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

export type FolderSink = Awaited<ReturnType<typeof createFolderSink>>;

/** Creates the folder `out`, which must not exist, and writes it. */
export async function writeNewFolder(
  terminal: Terminal,
  file: ModelFile,
  out: string,
  signal: AbortSignal,
): Promise<void> {
  const sink = await createFolderSink(out);
  try {
    await fillFolder(terminal, file, sink, signal);
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Writes into a folder that was created before; whoever did that aborts it after a failure. */
export async function fillFolder(
  terminal: Terminal,
  file: ModelFile,
  sink: FolderSink,
  signal: AbortSignal,
): Promise<void> {
  await withProgress(terminal, "writing", "bytes", (onProgress) =>
    writeModelFolder(file, sink.open, { signal, onProgress }),
  );
  await sink.finish();
}
