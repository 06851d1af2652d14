/**
 * The keys of the outermost object of a JSON text, in order and with repetitions, which JSON.parse hides.
 * Invariant: the text has been accepted by JSON.parse, so only quotes,
 * escapes and brackets have to be told apart.
 */

/** Yields every key of the outermost object. */
export function* topLevelKeys(json: string): Generator<string> {
  let depth = 0;
  let expectKey = false;
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === '"') {
      const end = endOfString(json, i);
      if (depth === 1 && expectKey) yield JSON.parse(json.slice(i, end + 1));
      expectKey = false;
      i = end;
    } else if (character === "{" || character === "[") {
      depth++;
      expectKey = depth === 1;
    } else if (character === "}" || character === "]") {
      depth--;
    } else if (character === "," && depth === 1) {
      expectKey = true;
    }
  }
}

function endOfString(json: string, start: number): number {
  let i = start + 1;
  while (json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
  return i;
}
