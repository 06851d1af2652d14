/** Methods on one model in ordered pairs: what they cost in quality together, and what is refused. */
import { type HeatCell, heatSvg } from "../heat-figure.ts";
import type { ResultRow, ResultRows } from "../result-rows.ts";
import { type Figure, megabytes } from "./figure.ts";

type Result = ResultRow<"composition/1">["results"][number];

const [WHOLE, ALONE] = ["the model", "alone"];

/** The newest row alone: its settings differ from those of others. */
export function compositionFigure(rows: ResultRows): Figure[] {
  return rows
    .of("composition/1")
    .slice(-1)
    .map((row) => {
      const { model, results } = row;
      const pairs = results.filter(({ steps }) => steps.length <= 2);
      const methods = pairs.flatMap(({ steps }) => (steps.length === 1 ? steps : []));
      const title = `Methods in pairs on ${model}: answers that stay right, bytes per token`;
      const [whole] = results;
      return {
        name: "composition",
        title,
        svg: heatSvg(
          pairs.map((result) => cellOf(result)),
          { title, rows: [WHOLE, ...methods], columns: [ALONE, ...methods], corner: "first, then" },
        ),
        caption: `Share of held-out problems answered exactly with attention spans followed, MB read per token, loss in nats per token of the worked solutions; the row is applied first, the column then. The stronger the colour, the more answers are lost against the model (${exactShare(whole)}). Refused: what the first method leaves is not what the second works on. The command below says how strong each method is set.`,
        rows: [row],
        table: {
          head: [
            "methods, in order",
            "exact, %",
            "spans ignored, %",
            "loss",
            "spans ignored",
            "MB per token",
          ],
          rows: results.map((result) => [result.steps.join(", ") || WHOLE, ...numbersOf(result)]),
        },
      };
    });
}

function cellOf(result: Result): HeatCell {
  const [first, second] = result.steps;
  const place = { row: first ?? WHOLE, column: second ?? ALONE };
  if ("refused" in result) return { ...place, lines: ["refused"], loss: undefined };
  return {
    ...place,
    lines: [
      `${exactShare(result)}, ${megabytes(result.bytesPerToken)} MB`,
      `loss ${result.loss.followed.toFixed(4)}`,
    ],
    loss: 1 - result.exact.followed,
  };
}

function exactShare(result: Result): string {
  return "refused" in result ? "refused" : `${Math.round(100 * result.exact.followed)} %`;
}

function numbersOf(result: Result): string[] {
  if ("refused" in result) return ["refused", "", "", "", ""];
  const { exact, loss, bytesPerToken } = result;
  return [
    (100 * exact.followed).toFixed(1),
    (100 * exact.ignored).toFixed(1),
    loss.followed.toFixed(4),
    loss.ignored.toFixed(4),
    megabytes(bytesPerToken),
  ];
}
