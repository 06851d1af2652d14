/** The text form of `skim inspect`. */
import type { Inspection } from "./inspect.ts";
import { formatSize, formatTable, printLine, type Terminal } from "./terminal.ts";

/** Chat templates run to hundreds of lines; --json has all of it. */
const TEMPLATE_PREVIEW = 400;

export function printInspection(terminal: Terminal, inspection: Inspection): void {
  const sections = [
    describeFile(inspection),
    describeHyperParameters(inspection),
    describeTokenizer(inspection),
    describeTensors(inspection),
    describeProgram(inspection),
    inspection.missing.map((reason) => `missing: ${reason}`).join("\n"),
  ];
  printLine(terminal, sections.filter((section) => section !== "").join("\n\n"));
}

function describeFile(inspection: Inspection): string {
  const formats = inspection.formats.map(
    ({ name, bitsPerWeight, tensors, bytes }) =>
      `  ${name}: ${tensors} tensors, ${formatSize(bytes)}, ${bitsPerWeight} bits per weight`,
  );
  return [
    `${inspection.name}: ${inspection.container}, architecture ${inspection.architecture}`,
    `${(inspection.parameters / 1e6).toFixed(3)} M parameters, ${formatSize(inspection.tensorBytes)} in ${inspection.tensors.length} tensors`,
    ...formats,
    ...inspection.recipes.map((recipe) => `made by ${recipe}`),
  ].join("\n");
}

function describeHyperParameters({ hyperParameters }: Inspection): string {
  if (hyperParameters === null) return "";
  const lines = Object.entries(hyperParameters)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `  ${key}: ${abbreviate(value)}`);
  return ["hyper-parameters", ...lines].join("\n");
}

/** Values as short JSON; a list of equal items is said once. */
function abbreviate(value: unknown): string {
  if (Array.isArray(value) && value.length > 1 && value.every((item) => item === value[0])) {
    return `${value[0] ?? "none"} (${value.length} times)`;
  }
  const text = JSON.stringify(value, (_, item: unknown) =>
    Array.isArray(item) && item.length > 8 ? `${item.length} values` : item,
  );
  return text.replaceAll('"', "");
}

function describeTokenizer({ tokenizer, chatTemplate }: Inspection): string {
  const template =
    chatTemplate === null
      ? "chat template: none"
      : `chat template (${chatTemplate.length} characters): ${preview(chatTemplate)}`;
  if (tokenizer === null) return template;
  const { kind, vocabularySize, bosId, eosId, endIds } = tokenizer;
  const ids = `BOS ${bosId ?? "none"}, EOS ${eosId ?? "none"}, ends with ${endIds.join(", ") || "none"}`;
  return `tokenizer: ${kind}, ${vocabularySize} tokens, ${ids}\n${template}`;
}

function preview(template: string): string {
  const line = template.replaceAll("\n", "\\n");
  return line.length <= TEMPLATE_PREVIEW ? line : `${line.slice(0, TEMPLATE_PREVIEW)} ...`;
}

function describeTensors({ tensors }: Inspection): string {
  if (tensors.length === 0) return "";
  const rows = tensors.map(({ name, shape, format, bytes }) => [
    name,
    shape.join(" x "),
    format,
    formatSize(bytes),
  ]);
  return formatTable(["tensor", "shape", "format", "size"], rows);
}

function describeProgram({ program }: Inspection): string {
  if (program === null) return "";
  const rows = program.ops.map(({ text, kind, bytes, multiplyAdds }, index) => [
    `${index}  ${text}`,
    kind,
    bytes === 0 ? "" : formatSize(bytes),
    multiplyAdds === 0 ? "" : String(multiplyAdds),
  ]);
  const { total, byKind } = program.reads;
  const kinds = Object.entries(byKind).map(([kind, bytes]) => `${kind} ${formatSize(bytes)}`);
  return [
    formatTable(["op", "kind", "bytes", "multiply-adds"], rows),
    `reads per token at ${program.attended} positions, keys and values in f16: ${formatSize(total)} (${kinds.join(", ")})`,
  ].join("\n");
}
