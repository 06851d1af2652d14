/**
 * Rows of bench/results as the report reads them: the fields that figures draw, checked;
 * bench/results/README.md explains all fields. Of measurements that were repeated the newest counts.
 * Invariant: a row is read completely or refused with its file and line; rows of other schemas are counted,
 * not dropped unseen.
 */
import { z } from "zod";
import { FormatError } from "../errors.ts";

const modelFile = z.object({ file: z.string() });

/** What every row says of itself. */
const origin = {
  date: z.string(),
  commit: z.string(),
  modified: z.boolean(),
  command: z.string().optional(),
  /** Cores that processes besides skim kept busy meanwhile, where it was watched. */
  load: z.object({ otherCores: z.number().optional() }).optional(),
  /** Rows that hold no time may leave it out. */
  machine: z.object({ cpu: z.string(), cores: z.number(), os: z.string(), node: z.string() }).optional(),
};

const offload = z.object({
  ...origin,
  model: z.string(),
  name: z.string(),
  budget: z.string(),
  hitRate: z.number(),
  fileBytesPerToken: z.number(),
  memoryBytesPerToken: z.number(),
  promptFileBytes: z.number(),
  peakMemoryBytes: z.number(),
});

/** A measurement with attention spans and without. */
const withSpans = z.object({ followed: z.number(), ignored: z.number() });

const schemas = {
  "variants/1": z.object({
    ...origin,
    protocol: z.string(),
    variants: z
      .array(
        z.object({
          name: z.string(),
          model: z.string(),
          options: z.record(z.string(), z.unknown()),
          perplexity: z.number(),
          tokensScored: z.number(),
          weightBytes: z.number(),
          bytesPerToken: z.number(),
          decode: z.object({ values: z.array(z.number()) }),
          ratioToFirst: z.number(),
        }),
      )
      .min(1),
  }),
  "quantization/1": z.object({
    ...origin,
    model: z.string(),
    protocol: z.string(),
    rows: z.array(
      z.object({
        scheme: z.string(),
        runs: z.enum(["engine", "emulated"]),
        perplexity: z.number(),
        bytesPerToken: z.number(),
      }),
    ),
  }),
  "trimllm/1": z.object({
    ...origin,
    runs: z.array(
      z.object({
        name: z.string(),
        sizes: z.array(
          z.object({
            dropped: z.array(z.string()),
            validation: z.object({ questions: z.number(), accuracy: z.number(), chance: z.number() }),
            size: z.object({ readBytes: z.number() }),
          }),
        ),
        chosen: z.object({ round: z.number() }),
      }),
    ),
  }),
  "calc/1": z.object({
    ...origin,
    models: z.array(
      z.object({
        name: z.string(),
        spans: z.string(),
        levels: z.array(
          z.object({
            level: z.number(),
            problems: z.number(),
            exact: z.number(),
            all: z.object({ read: z.number(), inAll: z.number() }),
          }),
        ),
      }),
    ),
  }),
  "prosparse/1": z.object({
    ...origin,
    base: z.object({ model: z.string() }),
    runs: z.array(
      z.object({
        name: z.string(),
        perplexity: z.number(),
        x1: z.object({ chosen: z.object({ layers: z.array(z.number()) }) }),
      }),
    ),
  }),
  "sensitivity/1": z.object({
    ...origin,
    model: z.string(),
    perplexity: z.number(),
    units: z.array(z.object({ layer: z.number(), kind: z.string(), perplexity: z.number() })),
  }),
  "cache-quality/1": z.object({
    ...origin,
    model: z.string(),
    protocol: z.string(),
    characters: z.number(),
    share: z.number(),
    dense: z.object({ perplexity: z.number() }),
    cells: z
      .array(
        z.object({
          density: z.number(),
          gamma: z.number(),
          policy: z.string(),
          perplexity: z.number(),
          hitRate: z.number(),
        }),
      )
      .min(1),
  }),
  "peers/1": z.object({
    ...origin,
    model: modelFile,
    skim: z.object({ peakMemoryBytes: z.number(), weightBytes: z.number() }),
    llamaCpp: z.object({ peakMemoryBytes: z.number(), package: z.string() }),
    tests: z.array(
      z.object({
        name: z.string(),
        skim: z.object({
          tokensPerSecond: z.object({ median: z.number() }),
          rooflineShare: z.number().optional(),
        }),
        llamaCpp: z.object({ ratio: z.number() }),
      }),
    ),
  }),
  "columns/1": z.object({
    ...origin,
    model: modelFile,
    settings: z.array(
      z.object({
        density: z.number().nullable(),
        bytesPerToken: z.number(),
        ratioToDense: z.number(),
      }),
    ),
  }),
  "combinations/1": z.object({
    ...origin,
    results: z.array(z.object({ name: z.string(), ratio: z.number(), byteRatio: z.number() })).min(1),
  }),
  "neurons/1": z.object({
    ...origin,
    model: modelFile,
    liveShare: z.number(),
    ceiling: z.number(),
    ratio: z.number(),
  }),
  "spans/1": z.object({
    ...origin,
    model: modelFile,
    sequences: z.number(),
    results: z.array(
      z.object({
        context: z.number(),
        share: z.number().nullable(),
        span: z.number().nullish(),
        ratioToFull: z.number(),
        bound: z.number(),
      }),
    ),
  }),
  "offload/1": offload,
  "offload/2": offload,
  "attention/1": z.object({
    ...origin,
    results: z.array(
      z.object({
        context: z.number(),
        share: z.number(),
        span: z.number().nullish(),
        timeRatio: z.number(),
        byteRatio: z.number(),
      }),
    ),
  }),
  "tender-linear/1": z.object({
    ...origin,
    shape: z.object({ rows: z.number(), columns: z.number(), decodeThreads: z.number() }),
    best: z.array(z.object({ scheme: z.string(), decodeGBs: z.number(), rooflineShare: z.number() })).min(1),
  }),
  "linear-columns/1": z.object({
    ...origin,
    shape: z.object({ hidden: z.number(), feedForward: z.number() }),
    threads: z.number(),
    results: z
      .array(
        z.object({
          weights: z.string(),
          density: z.number().nullable(),
          medianGBs: z.number(),
          rooflineShare: z.number(),
        }),
      )
      .min(1),
  }),
  "composition/1": z.object({
    ...origin,
    model: z.string(),
    results: z
      .array(
        z.union([
          z.object({ steps: z.array(z.string()), refused: z.string() }),
          z.object({
            steps: z.array(z.string()),
            exact: withSpans,
            loss: withSpans,
            bytesPerToken: z.number(),
          }),
        ]),
      )
      .min(1),
  }),
  "sparsity/1": z.object({
    ...origin,
    models: z
      .array(
        z.object({
          name: z.string(),
          densePerplexity: z.number(),
          zeros: z
            .array(z.object({ text: z.string(), sparsity: z.number(), layers: z.array(z.number()) }))
            .min(1),
          pplPercent: z.object({ percent: z.number(), sparsity: z.number() }),
        }),
      )
      .min(1),
  }),
  "simulated-memory/1": z.object({
    ...origin,
    simulated: z.string(),
    notModelled: z.array(z.string()),
    device: z.string(),
    timing: z.string(),
    weightBits: z.number(),
    shape: z.string(),
    origin: z.string(),
    results: z
      .array(
        z.object({
          method: z.string(),
          density: z.number(),
          policy: z.string(),
          gamma: z.number(),
          dramBytes: z.number(),
          flashBytesPerToken: z.number(),
          tokensPerSecond: z.number(),
          /** Where quality was measured too. */
          memoryBytes: z.number().optional(),
          perplexity: z.number().optional(),
        }),
      )
      .min(1),
  }),
  "simulated-accelerator/1": z.object({
    ...origin,
    simulated: z.string(),
    hardware: z.object({ name: z.string() }),
    results: z
      .array(
        z.object({
          model: z.string(),
          tokens: z.number(),
          name: z.string(),
          bits: z.number(),
          seconds: z.number(),
          joules: z.number(),
        }),
      )
      .min(1),
  }),
} as const;

export type RowSchema = keyof typeof schemas;
export type ResultRow<Schema extends RowSchema> = z.infer<(typeof schemas)[Schema]> & {
  readonly schema: Schema;
};
/** Any row, as far as captions need it. */
export type RowOrigin = z.infer<z.ZodObject<typeof origin>> & { readonly schema: string };

export interface ResultRows {
  /** The rows of a schema, oldest first. */
  of<Schema extends RowSchema>(schema: Schema): ResultRow<Schema>[];
  /** Rows of schemas that no figure draws, by schema. */
  readonly undrawn: ReadonlyMap<string, number>;
}

/** Reads the lines of `files`; FormatError names the line that is no row. */
export function readResultRows(
  files: readonly { readonly name: string; readonly text: string }[],
): ResultRows {
  const rows: RowOrigin[] = [];
  const undrawn = new Map<string, number>();
  for (const { name, text } of files) {
    for (const [index, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      const row = parseRow(`${name}:${index + 1}`, line);
      if (typeof row === "string") undrawn.set(row, (undrawn.get(row) ?? 0) + 1);
      else rows.push(row);
    }
  }
  const newest = keepNewest(rows);
  return {
    of<Schema extends RowSchema>(schema: Schema) {
      return newest.filter((row): row is ResultRow<Schema> => row.schema === schema);
    },
    undrawn,
  };
}

/** The row, or the name of its schema where no figure draws it. */
function parseRow(place: string, line: string): RowOrigin | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new FormatError(`${place}: the line is no JSON - rows are appended whole, restore the file`, {
      cause: error,
    });
  }
  const head = z.object({ schema: z.string() }).safeParse(value);
  if (!head.success) {
    throw new FormatError(`${place}: the row has no schema, expected a name such as variants/1`);
  }
  const { schema } = head.data;
  if (!Object.hasOwn(schemas, schema)) return schema;
  const parsed = schemas[schema as RowSchema].safeParse(value);
  if (parsed.success) return { ...parsed.data, schema };
  const [issue] = parsed.error.issues;
  throw new FormatError(
    `${place}: ${schema} row, ${issue.path.join(".")}: ${issue.message} - see bench/results/README.md`,
  );
}

/** Of rows whose commands differ in how often they measured only, the newest; by date. */
function keepNewest(rows: readonly RowOrigin[]): RowOrigin[] {
  const latest = new Map<string, RowOrigin>();
  for (const row of rows.toSorted((a, b) => (a.date < b.date ? -1 : 1))) {
    latest.set(subjectOf(row), row);
  }
  return [...latest.values()];
}

function subjectOf(row: RowOrigin): string {
  if (isOffload(row)) {
    // A row holds one setting, which names it: the first rows have no command.
    return `offload ${row.model} ${row.name} ${row.budget}`;
  }
  return `${row.schema} ${row.command?.replaceAll(/ --(?:rounds|repeats|repetitions|tokens) \S+/g, "")}`;
}

function isOffload(row: RowOrigin): row is ResultRow<"offload/1" | "offload/2"> {
  return row.schema === "offload/1" || row.schema === "offload/2";
}
