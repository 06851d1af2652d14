/**
 * A table as a drawing: a few words for every pair of a row and a column, coloured by how much is lost there.
 */
import * as Plot from "@observablehq/plot";
import { drawPlot, FAINT, FONT_SIZE, GRID, seriesColour, textWidth } from "./plot-svg.ts";

export interface HeatCell {
  readonly row: string;
  readonly column: string;
  readonly lines: readonly string[];
  /** Strength of the colour, 0 to 1; undefined for what is not possible, which is written faintly. */
  readonly loss: number | undefined;
}

export interface HeatOptions {
  readonly title: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** What rows and columns are, at the corner. */
  readonly corner: string;
}

const WIDTH = 800;
const LINE_HEIGHT = 1.25;
const PADDING = 14;
const HEADING = 28;
/** Of the strongest colour, so that text on it stays legible in light and dark. */
const STRONGEST = 0.45;

/** The drawing; there must be a cell. Pairs without one stay empty. */
export function heatSvg(cells: readonly HeatCell[], { title, rows, columns, corner }: HeatOptions): string {
  const lines = Math.max(...cells.map((cell) => cell.lines.length));
  const cellHeight = lines * LINE_HEIGHT * FONT_SIZE + PADDING;
  const marginLeft = 20 + Math.max(textWidth(corner), ...rows.map(textWidth));
  const marks = cells.map((cell) => ({
    ...cell,
    text: cell.lines.join("\n"),
    title: `${cell.row}, ${cell.column}: ${cell.lines.join(", ")}`,
    opacity: STRONGEST * (cell.loss ?? 0),
    colour: cell.loss === undefined ? FAINT : "var(--text)",
  }));
  const place = { x: "column", y: "row" } as const;
  return drawPlot(title, {
    width: WIDTH,
    height: HEADING + rows.length * cellHeight + 4,
    marginLeft,
    marginRight: 4,
    marginTop: HEADING,
    marginBottom: 4,
    x: { type: "band", domain: [...columns], padding: 0.03 },
    y: { type: "band", domain: [...rows], padding: 0.03 },
    marks: [
      Plot.axisX({ anchor: "top", tickSize: 0, label: null, fontWeight: 600 }),
      Plot.axisY({ tickSize: 0, label: null, fontWeight: 600 }),
      Plot.text([corner], {
        frameAnchor: "top-left",
        textAnchor: "start",
        dx: -marginLeft,
        dy: -12,
        fill: FAINT,
      }),
      Plot.cell(marks, {
        ...place,
        fill: seriesColour(1),
        fillOpacity: "opacity",
        stroke: GRID,
        title: "title",
      }),
      Plot.text(marks, { ...place, text: "text", lineHeight: LINE_HEIGHT, fill: "colour" }),
    ],
  });
}
