/** The report says what the log says, long logs stay small, and the file stands for itself. */
import { describe, expect, test } from "vitest";
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
    // Two validations, and the dot of the legend.
    expect(html.match(/<circle/g)).toHaveLength(3);
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
