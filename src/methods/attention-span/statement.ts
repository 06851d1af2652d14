/**
 * What a model states it needs: the header of a line, `id : spec`, as a set of segments (Self-Selected Attention Span,
 * arXiv 2404.09336; the syntax is skim's own). Pure text in, references or the kind of mistake out.
 *
 *   spec = "*" | "-" | item { sep item }     item = "@" id | up to 6 digits     sep = "+" | "-" | "*" | ","
 *   id   = 1..9999 without leading zero; "@0" is the prompt; "ans" stands for the id of a final line
 */

/** Kinds of mistakes, in the order in which the first one counts. */
const STATEMENT_ERRORS = ["long", "syntax", "id", "reference", "many"] as const;
export type StatementError = (typeof STATEMENT_ERRORS)[number];

/** Most tokens of a header, and most different references in it. */
const LONGEST_HEADER = 64;
const MOST_REFERENCES = 64;

export type Statement =
  /** Segments to see, ascending; `final` lines get no id of their own. */
  | { readonly kind: "references"; readonly segments: readonly number[]; readonly final: boolean }
  | { readonly kind: "everything"; readonly final: boolean }
  | { readonly kind: "error"; readonly error: StatementError };

const ID = "[1-9][0-9]{0,3}";
const ITEM = `(?:@(?:0|${ID})|[0-9]{1,6})`;
const HEADER = new RegExp(`^(ans|${ID}):(\\*|-|${ITEM}(?:[-+*,]${ITEM})*)$`);
const REFERENCE = /@([0-9]+)/g;

/** Reads a header; `isClosed` says which segments exist, `nextId` is the only number a new line may take. */
export function readStatement(
  header: string,
  tokenCount: number,
  nextId: number,
  isClosed: (segment: number) => boolean,
): Statement {
  if (tokenCount > LONGEST_HEADER) return { kind: "error", error: "long" };
  const match = HEADER.exec(header);
  if (match === null) return { kind: "error", error: "syntax" };
  const [, id, spec] = match;
  const final = id === "ans";
  if (!final && Number(id) !== nextId) return { kind: "error", error: "id" };
  if (spec === "*") return { kind: "everything", final };
  const segments = new Set(Array.from(spec.matchAll(REFERENCE), ([, segment]) => Number(segment)));
  if (![...segments].every(isClosed)) return { kind: "error", error: "reference" };
  if (segments.size > MOST_REFERENCES) return { kind: "error", error: "many" };
  return { kind: "references", segments: [...segments].sort((a, b) => a - b), final };
}
