// Plain-text tables: columns padded to their widest cell, numbers to the right.

/**
 * @param {readonly string[]} heading
 * @param {readonly (readonly string[])[]} rows
 */
export function formatTable(heading, rows) {
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const isNumeric = heading.map((_, column) => rows.every((row) => /^[-+\d]/.test(row[column])));
  const line = (cells) =>
    cells
      .map((cell, column) =>
        isNumeric[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
      )
      .join("  ")
      .trimEnd();
  return [line(heading), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n");
}
