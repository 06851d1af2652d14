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
 * One entry per test. `ratio` is the ratio of the medians; `pairs` the ratios of the rounds, whose two halves ran one
 * right after the other.
 */
export function summarizeTests(tests, rounds, gigabytesPerSecond) {
  return Promise.all(
    tests.map(async (test, i) => {
      const speeds = (engine) => rounds.map((round) => tokensPerSecond(test, round[engine].tests[i]));
      const skim = await summarizeValues(speeds("skim"));
      const llamaCpp = await summarizeValues(speeds("llamaCpp"));
      const { bytesPerToken, ids } = rounds[0].skim.tests[i];
      const reads =
        test.kind === "tg"
          ? { bytesPerToken, rooflineShare: (skim.median * bytesPerToken) / (gigabytesPerSecond * 1e9) }
          : {};
      return {
        name: test.name,
        skim: { tokensPerSecond: skim, ...reads },
        llamaCpp: { tokensPerSecond: llamaCpp },
        ratio: skim.median / llamaCpp.median,
        pairs: await summarizeValues(skim.values.map((speed, round) => speed / llamaCpp.values[round])),
        equalIds: countEqual(ids, rounds[0].llamaCpp.tests[i].ids),
        ids: ids.length,
      };
    }),
  );
}

function tokensPerSecond(test, { prefillMs, decodeMs }) {
  return test.kind === "pp" ? (test.prompt.length * 1000) / prefillMs : (test.decode * 1000) / decodeMs;
}

/** Leading greedy ids that are the same in both engines. */
function countEqual(ours, theirs) {
  const differing = ours.findIndex((id, i) => id !== theirs[i]);
  return differing < 0 ? ours.length : differing;
}
