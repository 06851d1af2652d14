/**
 * What every report shares: the frame of the HTML page, colours for light and dark,
 * and SVG that stands alone.
 * Invariant: pages and drawings refer to nothing outside themselves and need no script;
 * they print in light colours.
 */

const LIGHT =
  "--text:#1f2328;--faint:#5d666f;--back:#fff;--grid:#e3e6ea;--s0:#1d4ed8;--s1:#c2410c;--s2:#15803d;--s3:#7e22ce;--s4:#a16207;--s5:#0e7490;--s6:#be185d;--s7:#4d5b1a";
const DARK =
  "--text:#e6edf3;--faint:#9aa4af;--back:#0f1318;--grid:#2a313a;--s0:#7aa2ff;--s1:#ff9d5c;--s2:#5fd38a;--s3:#cf9bff;--s4:#e3c04f;--s5:#56c8dc;--s6:#ff8fbd;--s7:#b5c26a";
const COLOURS = `:root{color-scheme:light dark;${LIGHT}}
@media screen and (prefers-color-scheme:dark){:root{${DARK}}}`;
const PLOT = `.plot{color:var(--text);font-family:system-ui,sans-serif;max-width:100%;height:auto;display:block}
.plot text,.plot tspan{white-space:pre}`;

const STYLE = `${COLOURS}
@media print{:root{color-scheme:light}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:52rem;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2.5rem 0 .4rem}h2,h3{break-after:avoid}
${PLOT}
figure{margin:0;break-inside:avoid}figcaption,.note{color:var(--faint);font-size:.85rem}figcaption p{margin:.4rem 0}
code{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
ul.rows{margin:.3rem 0;padding-left:1.2rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;margin:.5rem 0}
td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid var(--grid)}
td:first-child,th:first-child{text-align:left;padding-left:0}td{white-space:nowrap}
summary{cursor:pointer;color:var(--faint);font-size:.85rem}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr));gap:.8rem 2rem;margin:1.5rem 0}
dt{color:var(--faint);font-size:.85rem}dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
@media print{body{margin:0;max-width:none;padding:0}details::details-content{content-visibility:visible;height:auto}summary{display:none}.scroll{overflow:visible}tr{break-inside:avoid}}`;

/** A page with this title and body; the body is markup. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeText(title)}</title>
<style>${STYLE}</style>
<h1>${escapeText(title)}</h1>
${body}
</html>
`;
}

/** A plot as a file of its own, which follows the viewer's colour scheme. */
export function standaloneSvg(svg: string): string {
  const background = '<rect width="100%" height="100%" fill="var(--back)"/>';
  return `${svg.replace(
    /^<svg([^>]*)>/,
    `<svg xmlns="http://www.w3.org/2000/svg"$1><style>${COLOURS}\n${PLOT}</style>${background}`,
  )}\n`;
}

/** A table; the first column is a name, the others are numbers. */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: "th" | "td", row: readonly string[]) =>
    `<tr>${row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table><thead>${cells("th", head)}</thead>
<tbody>${rows.map((row) => cells("td", row)).join("\n")}</tbody></table></div>`;
}

/** Text as it may stand inside markup. */
export function escapeText(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
