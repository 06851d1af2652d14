/**
 * From channel ranges to groups whose scales lie a factor of two apart.
 * Source: Tender (arXiv 2406.12930), the paper's decomposition with alpha = 2; "down" is the authors' second candidate.
 * Invariant: group 1 holds the largest channels, and s_g / s_(g+1) = 2 exactly.
 */

/** Extremes of every channel over some rows. */
export interface ChannelRange {
  readonly minima: Float64Array;
  readonly maxima: Float64Array;
}

export interface ChannelGroups {
  /** G */
  readonly groups: number;
  /** g(j), 1..G. */
  readonly group: Int32Array;
  /** s_G: what a code of the last group stands for; s_g = s_G * 2^(G - g). */
  readonly scale: number;
  /** max_j CMax_j */
  readonly largest: number;
}

/** Channel bias (max + min) / 2, which makes a channel's largest magnitude smallest. */
export function channelBias({ minima, maxima }: ChannelRange): Float64Array {
  return maxima.map((maximum, j) => (maximum + minima[j]) / 2);
}

/** CMax_j = max |x_j - b_j|, from the extremes alone. */
export function channelMagnitudes({ minima, maxima }: ChannelRange, bias?: Float64Array): Float64Array {
  return maxima.map((maximum, j) => {
    const b = bias?.[j] ?? 0;
    return Math.max(Math.abs(maximum - b), Math.abs(minima[j] - b));
  });
}

/**
 * Groups of channels: g(j) = g where TMax / 2^g < CMax_j <= TMax / 2^(g-1), the last group takes all smaller ones.
 * `limit` is the largest code, 2^(b-1) - 1. "down" moves every channel one group towards finer scales, so its largest
 * values clip. All-zero input gives scale 1: every code is 0 whatever the scale.
 */
export function groupChannels(
  magnitudes: Float64Array,
  groups: number,
  limit: number,
  rounding: "up" | "down" = "up",
): ChannelGroups {
  const largest = magnitudes.reduce((most, value) => Math.max(most, value), 0);
  const group = new Int32Array(magnitudes.length);
  for (let j = 0; j < magnitudes.length; j++) {
    let g = 1;
    // Halving is exact, so a range exactly on a bound falls into the finer group as the paper's inequality has it.
    while (g < groups && magnitudes[j] <= largest / 2 ** g) g++;
    group[j] = rounding === "down" ? Math.min(groups, g + 1) : g;
  }
  const scale = largest === 0 ? 1 : largest / (2 ** (groups - 1) * limit);
  return { groups, group, scale, largest };
}

/** The same channels with fewer groups: what lies beyond the last one joins it. */
export function mergeGroups(source: ChannelGroups, groups: number): ChannelGroups {
  if (groups >= source.groups) return source;
  return {
    groups,
    group: source.group.map((g) => Math.min(g, groups)),
    scale: source.scale * 2 ** (source.groups - groups),
    largest: source.largest,
  };
}

/** e_j = G - g(j): the power of two that channel j's codes carry inside the accumulator. */
export function channelExponents({ groups, group }: ChannelGroups): Int32Array {
  return group.map((g) => groups - g);
}

/** Channel indices by group, largest scale first, natural order inside a group. */
export function channelOrder({ group }: ChannelGroups): number[] {
  return [...group.keys()].sort((a, b) => group[a] - group[b] || a - b);
}
