// From the rounds' timings to speeds, spreads and ratios.
import { importSkim } from "./skim-build.mjs";

/**
 * Mean, sample deviation, median and the values themselves in the order of the rounds.
 * @param {readonly number[]} values
 */
export async function summarizeValues(values) {
  const { summarize } = await importSkim("evaluation/statistics.js");
  return { ...summarize(values), values: [...values] };
}

/**
 * One entry per test; `peers` are the other engines that took part in every round.
 * @param {number} gigabytesPerSecond the roofline
 */
export async function summarizeTests(tests, rounds, peers, gigabytesPerSecond) {
  const summaries = [];
  for (const [i, test] of tests.entries()) {
    const { bytesPerToken, ids } = rounds[0].skim.tests[i];
    const skim = await summarizeValues(rounds.map((round) => tokensPerSecond(test, round.skim.tests[i])));
    const reads =
      test.kind === "tg"
        ? { bytesPerToken, rooflineShare: (skim.median * bytesPerToken) / (gigabytesPerSecond * 1e9) }
        : {};
    const summary = { name: test.name, skim: { tokensPerSecond: skim, ...reads } };
    for (const peer of peers) {
      const speeds = rounds.map((round) => tokensPerSecond(test, round[peer].tests[i]));
      summary[peer] = {
        ...(await comparePeer(skim, speeds)),
        ...compareIds(ids, rounds[0][peer].tests[i].ids),
      };
    }
    summaries.push(summary);
  }
  return summaries;
}

/**
 * `ratio` is that of the medians; `pairs` those of the rounds, whose parts ran one right after the other.
 */
async function comparePeer(skim, speeds) {
  const tokensPerSecond = await summarizeValues(speeds);
  return {
    tokensPerSecond,
    ratio: skim.median / tokensPerSecond.median,
    pairs: await summarizeValues(skim.values.map((speed, round) => speed / speeds[round])),
  };
}

function tokensPerSecond(test, { promptTokens = test.prompt.length, prefillMs, decodeMs }) {
  return test.kind === "pp" ? (promptTokens * 1000) / prefillMs : (test.decode * 1000) / decodeMs;
}

/** Leading greedy ids that are the same, for engines that were given the same prompt ids. */
function compareIds(ours, theirs) {
  if (theirs === undefined) return {};
  const differing = ours.findIndex((id, i) => id !== theirs[i]);
  return { equalIds: differing < 0 ? ours.length : differing, ids: ours.length };
}
