/**
 * Speed as ratios within one run: methods beside the dense model with the bound that bytes set,
 * and skim beside llama.cpp.
 * Invariant: no drawing compares speeds of different runs; machines drift.
 */
import { type DotGroup, dotSvg } from "../dot-figure.ts";
import type { ResultRows, RowOrigin } from "../result-rows.ts";
import { type Figure, groupBy, noteLoad, percent, RANDOM_WEIGHTS } from "./figure.ts";

const ratio = (value: number) => value.toFixed(2);

/** Fewer rounds than this are no measurement of speed. */
const LEAST_ROUNDS = 3;

/** Methods beside the model that does without them. */
export function speedFigure(rows: ResultRows): Figure[] {
  const measured = [
    ...columnGroups(rows),
    ...neuronGroups(rows),
    ...spanGroups(rows),
    ...combinationGroups(rows),
    ...variantGroups(rows),
  ];
  if (measured.length === 0) return [];
  const groups = measured.map(({ group: { name, lines }, row }) => ({
    name: `${name}${noteLoad(row)}`,
    lines,
  }));
  const title = "Decode speed of methods, times the dense model in the same run";
  return [
    {
      name: "speed",
      title,
      svg: besideBytes(groups, title, "times the speed of the run's dense model"),
      caption: `Medians of interleaved rounds, rows with fewer than ${LEAST_ROUNDS} left out; every group is one run and its ratios compare within it. The bar is bytes read by the dense model over bytes read: a dot left of it pays for choosing, arithmetic or waiting, one right of it saves arithmetic as well. ${RANDOM_WEIGHTS} Variants of small models fit into the processor's caches, where bytes bound little.`,
      rows: measured.map(({ row }) => row),
      table: tableOf(groups, ["measured", "by bytes"]),
    },
  ];
}

interface Measured {
  readonly group: DotGroup;
  readonly row: RowOrigin;
}

function columnGroups(rows: ResultRows): Measured[] {
  return rows.of("columns/1").map((row) => {
    const dense = row.settings.find(({ density }) => density === null);
    return {
      row,
      group: {
        name: `columns (DIP), ${row.model.file}`,
        lines: row.settings
          .filter(({ density }) => density !== null)
          .map(({ density, ratioToDense, bytesPerToken }) => ({
            name: `density ${density}`,
            values: [ratioToDense, dense && dense.bytesPerToken / bytesPerToken],
          })),
      },
    };
  });
}

function neuronGroups(rows: ResultRows): Measured[] {
  return rows.of("neurons/1").map((row) => ({
    row,
    group: {
      name: `neurons (ProSparse, exact), ${row.model.file}`,
      lines: [{ name: `${percent(row.liveShare)} of the neurons live`, values: [row.ratio, row.ceiling] }],
    },
  }));
}

/** Rows of before spans had different lengths do not name any. */
function inSpans(span: number | null | undefined): string {
  return typeof span === "number" ? ` in spans of ${span}` : "";
}

function spanGroups(rows: ResultRows): Measured[] {
  return rows.of("spans/1").map((row) => ({
    row,
    group: {
      name: `tokens (spans), ${row.model.file}${row.sequences > 1 ? `, ${row.sequences} sequences` : ""}`,
      lines: row.results
        .filter(({ share }) => share !== null)
        .map(({ context, share, span, ratioToFull, bound }) => ({
          name: `${percent(share ?? 1)} of ${context} positions${inSpans(span)}`,
          values: [ratioToFull, bound],
        })),
    },
  }));
}

function combinationGroups(rows: ResultRows): Measured[] {
  return rows.of("combinations/1").map((row) => {
    const [first, ...others] = row.results;
    return {
      row,
      group: {
        name: `combinations, times ${first.name}`,
        lines: others.map(({ name, ratio, byteRatio }) => ({ name, values: [ratio, byteRatio] })),
      },
    };
  });
}

function variantGroups(rows: ResultRows): Measured[] {
  return rows
    .of("variants/1")
    .filter(({ variants }) => variants.length > 1 && variants[0].decode.values.length >= LEAST_ROUNDS)
    .map((row) => {
      const [first, ...others] = row.variants;
      return {
        row,
        group: {
          name: `variants, times ${first.name}`,
          lines: others.map(({ name, ratioToFirst, bytesPerToken }) => ({
            name,
            values: [ratioToFirst, first.bytesPerToken / bytesPerToken],
          })),
        },
      };
    });
}

/** The attention kernel alone, over shares of the context. */
export function attentionFigure(rows: ResultRows): Figure[] {
  const used = rows.of("attention/1").slice(-1);
  const groups = used.flatMap(({ results }) =>
    [...groupBy(results, ({ context }) => `${context} positions`)].map(([name, shares]) => ({
      name,
      lines: shares
        .filter(({ share }) => share < 1)
        .map(({ share, span, timeRatio, byteRatio }) => ({
          name: `${percent(share)} attended to${inSpans(span)}`,
          values: [1 / timeRatio, 1 / byteRatio],
        })),
    })),
  );
  if (groups.length === 0) return [];
  const title = "Tokens: attention over a share of the context, times all of it";
  return [
    {
      name: "attention",
      title,
      svg: besideBytes(groups, title, "times as fast as attention to every position, in the same run"),
      caption: "The attention kernel by itself; keys and values of random numbers.",
      rows: used,
      table: tableOf(groups, ["measured", "by bytes"]),
    },
  ];
}

/** Ratios that were measured beside those that the bytes alone would allow. */
function besideBytes(groups: readonly DotGroup[], title: string, xLabel: string): string {
  return dotSvg(groups, {
    title,
    xLabel,
    series: [
      { name: "measured", symbol: "dot" },
      { name: "what bytes alone would allow", symbol: "bar" },
    ],
    rule: 1,
    format: ratio,
  });
}

/** skim beside llama.cpp on the same file, processes in turns. */
export function peersFigure(rows: ResultRows): Figure[] {
  const used = rows.of("peers/1");
  if (used.length === 0) return [];
  const groups = used.map(({ model, tests }) => ({
    name: model.file,
    lines: tests.map(({ name, skim, llamaCpp }) => ({
      name: `${name}: ${skim.tokensPerSecond.median.toFixed(1)} tok/s${skim.rooflineShare === undefined ? "" : `, ${percent(skim.rooflineShare)} of roofline`}`,
      values: [llamaCpp.ratio],
    })),
  }));
  const title = "Speed of skim, times llama.cpp on the same file in the same run";
  return [
    {
      name: "peers",
      title,
      svg: dotSvg(groups, {
        title,
        xLabel: "times the speed of llama.cpp, both with the same number of threads",
        series: [{ name: `skim / llama.cpp (${used[used.length - 1].llamaCpp.package})`, symbol: "dot" }],
        rule: 1,
        format: ratio,
      }),
      caption: `pp: tokens of a prompt; tg: decoded tokens, @ d: behind so many positions. Medians, rounds in turns. The roofline is what the same threads read per second in the same run. ${RANDOM_WEIGHTS}`,
      rows: used,
      table: tableOf(groups, ["ratio"]),
    },
  ];
}

function tableOf(groups: readonly DotGroup[], columns: readonly string[]): Figure["table"] {
  return {
    head: ["", ...columns],
    rows: groups.flatMap(({ name, lines }) =>
      lines.map((line) => [
        `${name}: ${line.name}`,
        ...columns.map((_, i) => {
          const value = line.values[i];
          return value === undefined ? "" : ratio(value);
        }),
      ]),
    ),
  };
}
