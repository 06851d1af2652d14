/**
 * What the validator and the checks of single ops share: how a relation that does not hold is reported.
 */

/** Ends the check of an op; the validator adds which op it was. */
export type Fail = (problem: string) => never;

export function expectEqual(what: string, got: number | string, expected: number | string, fail: Fail): void {
  if (got !== expected) fail(`${what}, expected ${expected}, got ${got}`);
}
