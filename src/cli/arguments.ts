/**
 * Parsers of flag values. Each throws commander's InvalidArgumentError,
 * which names the flag and exits with 2.
 */
import { InvalidArgumentError } from "commander";

/** A whole number in [least, most]. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`Expected a whole number ${range}.`);
    }
    return value;
  };
}

/** A finite number in [least, most]. */
export function realNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`Expected a number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** Bytes as `2GB`, `1500MB` or `1.5GiB`; a bare number is bytes. */
export function byteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMG])(i?)B?|B)?$/i.exec(text.trim());
  const power = match?.[2] === undefined ? 0 : 1 + "KMG".indexOf(match[2].toUpperCase());
  const bytes = Math.floor(Number(match?.[1]) * (match?.[3] ? 1024 : 1000) ** power);
  if (!(bytes >= 1)) throw new InvalidArgumentError("Expected a size such as 2GB, 1500MB or 1.5GiB.");
  return bytes;
}

/** Comma-separated whole numbers of at least `least`. */
export function wholeNumbers(least: number): (text: string) => number[] {
  const parse = wholeNumber(least);
  return (text) => text.split(",").map((part) => parse(part.trim()));
}

/** Comma-separated numbers in [least, most]. */
export function realNumbers(least: number, most: number): (text: string) => number[] {
  const parse = realNumber(least, most);
  return (text) => text.split(",").map((part) => parse(part.trim()));
}

/** Comma-separated names out of `known`. */
export function names<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) =>
    text.split(",").map((part) => {
      const name = known.find((candidate) => candidate === part.trim());
      if (name !== undefined) return name;
      throw new InvalidArgumentError(`Expected names out of ${known.join(", ")}.`);
    });
}

/** Collects a flag that may be given several times. */
export function collect(text: string, earlier: readonly string[] | undefined): string[] {
  return [...(earlier ?? []), text];
}

/** Collects `id:value` pairs of --logit-bias. */
export function collectBias(
  text: string,
  earlier: Record<number, number> | undefined,
): Record<number, number> {
  const match = /^(\d+):([+-]?\d+(?:\.\d+)?)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Expected ID:VALUE, for example 15043:-5.");
  return { ...earlier, [Number(match[1])]: Number(match[2]) };
}

/** What `option` takes for the flag of the commands that run a model. */
export const THREADS_FLAG = [
  "-t, --threads <n>",
  "threads that share the work (default: one per core)",
  wholeNumber(1, 256),
] as const;
