// Settings of the benches that attend to spans of a context: all of it, shares of it in spans of several lengths, nothing.
import { mergeIntervals } from "../dist/program/intervals.js";

/** Positions always visible at both ends: the beginning and the line being written. */
const ENDS = 16;

/**
 * { context, share, span, visible, values } for every context: first all of it (share `all`, visible undefined), then every share in
 * spans of every length of which it holds one, last nothing (share 0, visible []); `visible` ends before the token's own position.
 */
export function spanSettings(contexts, shares, spans, all) {
  return contexts.flatMap((context) =>
    [
      { share: all, span: null },
      ...shares.flatMap((share) => spans.map((span) => ({ share, span }))),
      { share: 0, span: null },
    ]
      .filter(({ share, span }) => span === null || countSpans(context, share, span) > 0)
      .map(({ share, span }) => ({
        context,
        share,
        span,
        visible: share === all ? undefined : visibleAt(context, share, span),
        values: [],
      })),
  );
}

function countSpans(context, share, span) {
  return Math.round((share * context - 2 * ENDS) / span);
}

/** The beginning, spans of `span` positions spread evenly, and the end: `share` of the context in all. */
function visibleAt(context, share, span) {
  if (share === 0) return [];
  const count = countSpans(context, share, span);
  const starts = Array.from({ length: count }, (_, i) =>
    Math.floor(((i + 0.5) * (context - 2 * span)) / count),
  );
  return mergeIntervals([
    { start: 0, end: ENDS },
    ...starts.map((start) => ({ start, end: start + span })),
    { start: context - ENDS, end: context },
  ]);
}
