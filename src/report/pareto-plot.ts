/**
 * A plot of quality against size as a self-contained SVG: one point per model, a line along those that nothing else beats.
 * Invariant: no script, no font, no reference to anything outside the text.
 */
export interface ParetoPoint {
  readonly name: string;
  /** Horizontal: less is better. */
  readonly cost: number;
  /** Vertical. */
  readonly quality: number;
  readonly marked?: boolean;
}

export interface ParetoOptions {
  readonly title: string;
  readonly costLabel: string;
  readonly qualityLabel: string;
  /** Whether more or less quality is better. */
  readonly better: "higher" | "lower";
  /** A level drawn across, such as chance. */
  readonly level?: { readonly value: number; readonly label: string } | undefined;
}

const [WIDTH, HEIGHT] = [640, 400];
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 24, 40, 56];
const TICKS = 5;

/** Points that no other point beats on both axes, by ascending cost. */
export function paretoFront(points: readonly ParetoPoint[], better: "higher" | "lower"): ParetoPoint[] {
  const sign = better === "higher" ? 1 : -1;
  const sorted = points.toSorted((a, b) => a.cost - b.cost || sign * (b.quality - a.quality));
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ quality }) => {
    if (sign * quality <= best) return false;
    best = sign * quality;
    return true;
  });
}

/** The plot; `points` must not be empty. */
export function paretoSvg(points: readonly ParetoPoint[], options: ParetoOptions): string {
  const levels = options.level === undefined ? [] : [options.level.value];
  const x = scale(
    points.map(({ cost }) => cost),
    LEFT,
    WIDTH - RIGHT,
  );
  const y = scale([...points.map(({ quality }) => quality), ...levels], HEIGHT - BOTTOM, TOP);
  const front = paretoFront(points, options.better);
  const path = front
    .map(({ cost, quality }, i) => `${i === 0 ? "M" : "L"}${x.at(cost)} ${y.at(quality)}`)
    .join(" ");
  const dots = points.map(
    ({ name, cost, quality, marked }) =>
      `<circle cx="${x.at(cost)}" cy="${y.at(quality)}" r="${marked === true ? 7 : 4}" fill="${marked === true ? "#c2410c" : "#1d4ed8"}"><title>${escapeText(`${name}: ${format(cost)}, ${format(quality)}`)}</title></circle>` +
      `<text x="${x.at(cost)}" y="${y.at(quality) - 9}" text-anchor="middle" font-size="10" fill="#555">${escapeText(name)}</text>`,
  );
  const level =
    options.level === undefined
      ? ""
      : `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y.at(options.level.value)}" y2="${y.at(options.level.value)}" stroke="#999" stroke-dasharray="4 4"/>` +
        `<text x="${WIDTH - RIGHT}" y="${y.at(options.level.value) - 4}" text-anchor="end" font-size="11" fill="#777">${escapeText(options.level.label)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" role="img">`,
    `<title>${escapeText(options.title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${escapeText(options.title)}</text>`,
    ...x.ticks.map(
      (tick) =>
        `<text x="${x.at(tick)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle" font-size="11">${format(tick)}</text>`,
    ),
    ...y.ticks.map(
      (tick) =>
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y.at(tick)}" y2="${y.at(tick)}" stroke="#eee"/>` +
        `<text x="${LEFT - 8}" y="${y.at(tick) + 4}" text-anchor="end" font-size="11">${format(tick)}</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle" font-size="12">${escapeText(options.costLabel)}</text>`,
    `<text transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle" font-size="12">${escapeText(options.qualityLabel)}</text>`,
    level,
    `<path d="${path}" fill="none" stroke="#1d4ed8" stroke-width="1.5"/>`,
    ...dots,
    "</svg>",
  ].join("\n");
}

interface Scale {
  /** Place of a value, to a tenth. */
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

function scale(values: readonly number[], from: number, to: number): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = (most - least) * 0.06 || Math.abs(most) * 0.1 || 1;
  const [low, high] = [least - margin, most + margin];
  const at = (value: number) => Math.round(10 * (from + ((value - low) / (high - low)) * (to - from))) / 10;
  return { at, ticks: Array.from({ length: TICKS }, (_, i) => low + ((i + 0.5) * (high - low)) / TICKS) };
}

function format(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Text as it may stand inside markup. */
export function escapeText(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
