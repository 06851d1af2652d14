// The bench command's table.
import { formatTable } from "./table.mjs";

const NAMES = { llamaCpp: "llama.cpp", wllama: "wllama" };

/**
 * @param {any} row as documented in bench/results/README.md
 * @param {readonly ("llamaCpp" | "wllama")[]} peers
 */
export function printReport(row, peers) {
  const heading = [
    "test",
    "skim t/s",
    ...peers.flatMap((peer) => [`${NAMES[peer]} t/s`, "ratio"]),
    "skim reads/token",
    "of roofline",
    "equal ids",
  ];
  console.log(`model     ${row.model.file}, ${(row.model.parameters / 1e6).toFixed(0)} M parameters`);
  console.log(
    `machine   ${row.machine.cpu}, ${row.threads} of ${row.machine.cores} cores, node ${row.machine.node}`,
  );
  console.log(`roofline  ${row.roofline.gigabytesPerSecond.toFixed(1)} GB/s`);
  console.log(`peak      skim ${gigabytes(row.skim)}, llama.cpp ${gigabytes(row.llamaCpp)}`);
  console.log(
    formatTable(
      heading,
      row.tests.map((test) => tableRow(test, peers)),
    ),
  );
}

function tableRow({ name, skim, ...others }, peers) {
  const { equalIds, ids } = others.llamaCpp;
  return [
    name,
    spread(skim.tokensPerSecond.median, skim.tokensPerSecond.values),
    ...peers.flatMap((peer) => {
      const { tokensPerSecond, ratio, pairs } = others[peer];
      return [spread(tokensPerSecond.median, tokensPerSecond.values), spread(ratio, pairs.values)];
    }),
    skim.bytesPerToken === undefined ? "-" : `${(skim.bytesPerToken / 1e6).toFixed(1)} MB`,
    skim.rooflineShare === undefined ? "-" : `${(skim.rooflineShare * 100).toFixed(1)} %`,
    `${equalIds}/${ids}`,
  ];
}

/** The middle and, where there is more than one round, the least and greatest value. */
function spread(middle, values) {
  const range = `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  return values.length === 1 ? middle.toFixed(2) : `${middle.toFixed(2)} (${range})`;
}

function gigabytes({ peakMemoryBytes }) {
  return `${(peakMemoryBytes / 1e9).toFixed(2)} GB`;
}
