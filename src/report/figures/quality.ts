/**
 * Quality against what is read: perplexity of variants of one model and of quantization schemes, accuracy of
 * trimmed sizes and of stated spans.
 * Invariant: one drawing holds one text, one protocol, one set of questions;
 * what lies outside it is named in the caption.
 */
import { dotSvg } from "../dot-figure.ts";
import { type ParetoPoint, paretoSvg } from "../pareto-figure.ts";
import type { ResultRow, ResultRows } from "../result-rows.ts";
import { type Figure, flagOf, groupBy, megabytes, numbered } from "./figure.ts";

/** Perplexities beyond so many times the best are not drawn: the rest could not be told apart. */
const VARIANTS_LIMIT = 1.5;
const SCHEMES_LIMIT = 1.2;

interface Scored extends ParetoPoint {
  readonly bytesPerToken: number;
}

/** A drawing per text that variants were scored on, the one with most variants first. */
export function variantFigures(rows: ResultRows): Figure[] {
  const groups = groupBy(
    rows.of("variants/1"),
    (row) =>
      `${flagOf(row, "text")}, ${flagOf(row, "characters")} characters, ${row.variants[0].tokensScored} tokens, protocol ${row.protocol}`,
  );
  return [...groups]
    .map(([text, group]) => ({ text, group, variants: newestVariants(group) }))
    .filter(({ variants }) => variants.length > 1)
    .sort((a, b) => b.variants.length - a.variants.length)
    .map(({ text, group, variants }, i) => {
      const points = variants.map(({ name, perplexity, bytesPerToken }) => ({
        name,
        cost: bytesPerToken / 1e6,
        quality: perplexity,
        bytesPerToken,
      }));
      const { drawn, left } = withinLimit(points, VARIANTS_LIMIT);
      const title = `Quality against bytes per token: ${variants[0].model} on ${flagOf(group[0], "characters")} characters of ${flagOf(group[0], "text")}`;
      return {
        name: numbered("quality", i),
        title,
        svg: paretoSvg(drawn, {
          title,
          costLabel: "MB of weights, keys and values read per decoded token, 64 positions behind it",
          qualityLabel: "perplexity, lower is better",
          better: "lower",
        }),
        caption: `Perplexity on ${text}. Bytes are counted from the program that runs.${left}`,
        rows: group,
        table: {
          head: ["variant", "perplexity", "MB per token", "MB of weights"],
          rows: variants.map(({ name, perplexity, bytesPerToken, weightBytes }) => [
            name,
            perplexity.toFixed(2),
            megabytes(bytesPerToken),
            megabytes(weightBytes),
          ]),
        },
      };
    });
}

/** Each model and its options once, and each name once, as measured last. */
function newestVariants(group: readonly ResultRow<"variants/1">[]) {
  const all = group.flatMap(({ variants }) => variants);
  const latest = new Map(
    all.map((variant) => [`${variant.model} ${JSON.stringify(variant.options)}`, variant] as const),
  );
  return [...new Map([...latest.values()].map((variant) => [variant.name, variant] as const)).values()];
}

/** One drawing per model that schemes were compared on. */
export function quantizationFigures(rows: ResultRows): Figure[] {
  return [...groupBy(rows.of("quantization/1"), ({ model }) => model).values()].map((group, i) => {
    const row = group[group.length - 1];
    const points = row.rows.map(({ scheme, runs, perplexity, bytesPerToken }) => ({
      name: scheme,
      cost: bytesPerToken / 1e3,
      quality: perplexity,
      bytesPerToken,
      ...(runs === "emulated" ? { ring: "emulated: quality only, no kernel" } : {}),
    }));
    const { drawn, left } = withinLimit(points, SCHEMES_LIMIT);
    const title = `Bits: quantization schemes on ${row.model}`;
    return {
      name: numbered("quantization", i),
      title,
      svg: paretoSvg(drawn, {
        title,
        costLabel: "kB read per decoded token",
        qualityLabel: "perplexity, lower is better",
        better: "lower",
      }),
      caption: `Protocol ${row.protocol}. WbAa: b-bit weights, a-bit activations.${left}`,
      rows: [row],
      table: {
        head: ["scheme", "runs", "perplexity", "kB per token"],
        rows: row.rows.map(({ scheme, runs, perplexity, bytesPerToken }) => [
          scheme,
          runs,
          perplexity.toFixed(3),
          (bytesPerToken / 1e3).toFixed(1),
        ]),
      },
    };
  });
}

/** Accuracy of every size that a trimming run went through. */
export function trimmingFigure(rows: ResultRows): Figure[] {
  const used = rows.of("trimllm/1").slice(-1);
  const points = used.flatMap(({ runs }) =>
    runs.flatMap(({ name, sizes, chosen }) =>
      sizes.map(({ dropped, validation, size }, round) => ({
        name: round === 0 ? `${name}: whole` : `-${dropped.join(" -")}`,
        cost: size.readBytes / 1e6,
        quality: 100 * validation.accuracy,
        series: name,
        ...(round === chosen.round ? { ring: "chosen on validation" } : {}),
      })),
    ),
  );
  if (points.length === 0) return [];
  const { chance, questions, accuracy } = used[0].runs[0].sizes[0].validation;
  const standardError = 100 * Math.sqrt((accuracy * (1 - accuracy)) / questions);
  const title = "Layers: accuracy of trimmed sizes against the weights they read";
  return [
    {
      name: "trimming",
      title,
      svg: paretoSvg(points, {
        title,
        costLabel: "MB of weights read per token",
        qualityLabel: "validation accuracy, %",
        better: "higher",
        level: { value: 100 * chance, label: `chance, ${(100 * chance).toFixed(0)} %` },
        names: "front",
      }),
      caption: `TrimLLM: sizes of each tuning run, every one a sublayer smaller than the one before; names say which went. ${questions} validation questions, so that the whole model's standard error is ${standardError.toFixed(1)} points.`,
      rows: used,
      table: {
        head: ["run", "dropped", "accuracy, %", "MB per token"],
        rows: used.flatMap(({ runs }) =>
          runs.flatMap(({ name, sizes }) =>
            sizes.map(({ dropped, validation, size }) => [
              name,
              dropped.join(" ") || "nothing",
              (100 * validation.accuracy).toFixed(1),
              megabytes(size.readBytes),
            ]),
          ),
        ),
      },
    },
  ];
}

/** Exact answers, and the share of the context that tokens attended to. */
export function spanQualityFigure(rows: ResultRows): Figure[] {
  const used = rows.of("calc/1");
  const groups = [...newestLevels(used)].map(([name, levels]) => ({
    name,
    lines: [...levels.values()].map(({ level, problems, exact, all }) => ({
      name: `level ${level}, ${problems} problems`,
      values: [(100 * exact) / problems, 100 * shareRead(all)],
    })),
  }));
  if (groups.length === 0) return [];
  const title = "Tokens: exact answers, and positions read, where tokens state what they need";
  return [
    {
      name: "spans",
      title,
      svg: dotSvg(groups, {
        title,
        xLabel: "%",
        series: [
          { name: "exact answers", symbol: "dot" },
          { name: "positions read, of all before the token", symbol: "bar" },
        ],
        domain: [0, 100],
        format: (value) => value.toFixed(0),
      }),
      caption:
        "Held-out arithmetic expressions, greedy. Numbers at the right are exact answers in %. Higher levels have longer solutions.",
      rows: used,
      table: {
        head: ["model and level", "exact, %", "positions read, %"],
        rows: groups.flatMap(({ name, lines }) =>
          lines.map(({ name: level, values }) => [
            `${name}, ${level}`,
            ...values.map((value) => value.toFixed(1)),
          ]),
        ),
      },
    },
  ];
}

/** Where nothing is stated, everything is read and nothing was counted. */
function shareRead({ read, inAll }: { readonly read: number; readonly inAll: number }): number {
  return inAll === 0 ? 1 : read / inAll;
}

/** By model and what is done with its spans, each level as measured last. */
function newestLevels(rows: readonly ResultRow<"calc/1">[]) {
  type Level = ResultRow<"calc/1">["models"][number]["levels"][number];
  const groups = new Map<string, Map<number, Level>>();
  for (const { name, spans, levels } of rows.flatMap(({ models }) => models)) {
    const followed = spans === "follow" && levels.some(({ all }) => all.inAll > 0);
    const key = `${name}, ${followed ? "stated spans followed" : "everything read"}`;
    const group = groups.get(key) ?? new Map<number, Level>();
    for (const level of levels) group.set(level.level, level);
    groups.set(key, group);
  }
  return groups;
}

/** Points that can be told apart, and a sentence about the others. */
function withinLimit(points: readonly Scored[], limit: number): { drawn: Scored[]; left: string } {
  const best = Math.min(...points.map(({ quality }) => quality));
  const drawn = points.filter(({ quality }) => quality <= limit * best);
  const left = points
    .filter(({ quality }) => quality > limit * best)
    .map(
      ({ name, quality, bytesPerToken }) =>
        `${name} (${quality.toFixed(1)} at ${megabytes(bytesPerToken)} MB)`,
    );
  return {
    drawn,
    left:
      left.length === 0 ? "" : ` Not drawn, beyond ${limit} times the best perplexity: ${left.join(", ")}.`,
  };
}
