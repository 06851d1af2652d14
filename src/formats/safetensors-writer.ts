/**
 * Writes a safetensors file: header length, JSON header padded with spaces to 8 bytes,
 * then the tensors in the given order without gaps.
 * Source: the safetensors format description (huggingface/safetensors README, "Format").
 */
import { FormatError } from "../errors.ts";
import type { ByteSink } from "../platform/types.ts";
import { ByteBuilder } from "./byte-builder.ts";
import { i4 } from "../quantization/i4.ts";
import { INT4_METADATA_KEY, storedAs, WEIGHT_DTYPES } from "./safetensors-dtypes.ts";
import { MAX_HEADER_BYTES } from "./safetensors-reader.ts";
import { tensorByteSize } from "./tensor-layout.ts";
import { checkUniqueNames, type TensorSource, writeCompletely, writeTensorData } from "./tensor-source.ts";

/**
 * Writes a whole file and finishes the sink, or aborts it and throws FormatError: a format safetensors
 * cannot hold, a repeated name, data of the wrong length. `metadata` becomes `__metadata__`; PyTorch tools
 * want `format: "pt"`.
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeCompletely(sink, async () => {
    checkUniqueNames(sink.name, tensors);
    const sizes = tensors.map((tensor) =>
      tensorByteSize(`${sink.name}: tensor "${tensor.name}"`, tensor.shape, tensor.format),
    );
    await sink.write(buildHeader(sink.name, tensors, sizes, metadata));
    for (const [i, tensor] of tensors.entries()) await writeTensorData(sink, tensor, sizes[i]);
  });
}

function buildHeader(
  name: string,
  tensors: readonly TensorSource[],
  sizes: readonly number[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header = new Map<string, unknown>();
  const int4 = tensors.filter(({ format }) => format === i4).map((tensor) => tensor.name);
  const facts = int4.length === 0 ? metadata : { ...metadata, [INT4_METADATA_KEY]: JSON.stringify(int4) };
  if (Object.keys(facts).length > 0) header.set("__metadata__", facts);
  let begin = 0;
  for (const [i, { name: tensorName, shape, format }] of tensors.entries()) {
    const stored = storedAs(format, shape);
    if (stored === undefined) {
      throw new FormatError(
        `${name}: tensor "${tensorName}" is ${format.name}, safetensors can hold ${[...WEIGHT_DTYPES.keys(), i4.name].join(", ")} - convert it to one of them first`,
      );
    }
    if (tensorName === "__metadata__")
      throw new FormatError(`${name}: "__metadata__" cannot be the name of a tensor - rename it`);
    header.set(tensorName, { ...stored, data_offsets: [begin, begin + sizes[i]] });
    begin += sizes[i];
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new FormatError(
      `${name}: header has ${padded} bytes, expected at most ${MAX_HEADER_BYTES} - write several files`,
    );
  }
  const out = new ByteBuilder();
  out.putUint64(padded);
  out.putBytes(json);
  out.putBytes(new Uint8Array(padded - json.length).fill(0x20));
  return out.bytes();
}
