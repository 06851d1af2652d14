// From the rounds' timings to speeds, spreads and ratios.

/**
 * @param {readonly number[]} values
 */
export function summarize(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], values: [...values] };
}

/**
 * One entry per test. `ratio` is the ratio of the medians; `pairs` the ratios of the rounds, whose two halves ran one
 * right after the other.
 */
export function summarizeTests(tests, rounds, gigabytesPerSecond) {
  return tests.map((test, i) => {
    const speeds = (engine) => rounds.map((round) => tokensPerSecond(test, round[engine].tests[i]));
    const [skim, llamaCpp] = [summarize(speeds("skim")), summarize(speeds("llamaCpp"))];
    const first = { skim: rounds[0].skim.tests[i], llamaCpp: rounds[0].llamaCpp.tests[i] };
    const { bytesPerToken } = first.skim;
    const decodes = test.kind === "tg";
    return {
      name: test.name,
      skim: {
        tokensPerSecond: skim,
        ...(decodes
          ? { bytesPerToken, rooflineShare: (skim.median * bytesPerToken) / (gigabytesPerSecond * 1e9) }
          : {}),
      },
      llamaCpp: { tokensPerSecond: llamaCpp },
      ratio: skim.median / llamaCpp.median,
      pairs: summarize(skim.values.map((speed, round) => speed / llamaCpp.values[round])),
      equalIds: countEqual(first.skim.ids, first.llamaCpp.ids),
      ids: first.skim.ids.length,
    };
  });
}

function tokensPerSecond(test, { prefillMs, decodeMs }) {
  return test.kind === "pp" ? (test.prompt.length * 1000) / prefillMs : (test.decode * 1000) / decodeMs;
}

/** Leading greedy ids that are the same in both engines. */
function countEqual(ours, theirs) {
  const differing = ours.findIndex((id, i) => id !== theirs[i]);
  return differing < 0 ? ours.length : differing;
}
