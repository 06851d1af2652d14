/** The report says what the log says, long logs stay small, and the file stands for itself. */
import { describe, expect, test } from "vitest";
import { averages, lineChartSvg, roundTicks } from "./line-chart.ts";
import { type LogEntry, trainingReportHtml } from "./training-report.ts";

function update(step: number, loss: number, l1 = 0): LogEntry {
  return { step, loss, l1, gradientNorm: 0.5, learningRate: 1e-4, tokens: 100 * step, tokensPerSecond: 1234 };
}

const LOG: LogEntry[] = [
  update(1, 3),
  update(2, 2.5),
  { step: 2, validationLoss: 2.4, isBest: true },
  update(3, 2),
  { step: 3, validationLoss: 2.6, isBest: false },
];

describe("the report", () => {
  test("states the ends of the run and the best validation", () => {
    const html = trainingReportHtml("a <b>", LOG, { parameters: "2.5 M" });
    expect(html).toContain("<title>a &lt;b&gt;</title>");
    expect(html).toContain("3, 300");
    expect(html).toContain("3.0000, 2.0000");
    expect(html).toContain("2.4000 (perplexity 11.02) at step 2");
    expect(html).toContain("<dt>parameters</dt><dd>2.5 M</dd>");
    expect(html.match(/<svg/g)).toHaveLength(4);
    expect(html.match(/<circle/g)).toHaveLength(2);
    expect(html).not.toMatch(/NaN|Infinity|undefined|<script|href|url\(|https?:/);
  });

  test("shows the penalty where there was one", () => {
    expect(trainingReportHtml("", [update(1, 2, 7)], {}).match(/<svg/g)).toHaveLength(5);
  });

  test("of a run without updates says so", () => {
    expect(trainingReportHtml("", [], {})).toContain("No update was made");
  });

  test("of a long run stays small", () => {
    const long = Array.from({ length: 20_000 }, (_, i) => update(i + 1, 3 + Math.sin(i)));
    expect(trainingReportHtml("", long, {}).length).toBeLessThan(100_000);
  });
});

describe("curves", () => {
  test("average neighbours and keep their spread", () => {
    const points = [1, 3, 5, 9].map((y, x) => ({ x, y }));
    expect(averages(points, 2)).toEqual([
      { x: 0.5, y: 2, low: 1, high: 3 },
      { x: 2.5, y: 7, low: 5, high: 9 },
    ]);
    expect(averages(points, 4).map(({ y }) => y)).toEqual([1, 3, 5, 9]);
  });

  test("have round numbers at the side that hold every value", () => {
    expect(roundTicks(2.13, 7.9)).toEqual([2, 4, 6, 8]);
    expect(roundTicks(0, 0.0003)).toEqual([0, 0.0001, 0.0002, 0.0003]);
    expect(roundTicks(4, 4)).toEqual([4, 5]);
  });

  test("stay inside the frame", () => {
    const points = [0.2, 8.8, -3].map((y, x) => ({ x, y }));
    const svg = lineChartSvg("", [{ name: "", points, drawn: "dots" }]);
    const places = [...svg.matchAll(/c[xy]="([^"]+)"/g)].map(([, place]) => Number(place));
    expect(places).toEqual([64, expect.any(Number), 344, expect.any(Number), 624, expect.any(Number)]);
    for (const place of [1, 3, 5].map((i) => places[i])) {
      expect(place).toBeGreaterThanOrEqual(16);
      expect(place).toBeLessThanOrEqual(220);
    }
  });
});
