import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "./stop-strings.ts";

function run(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  let text = "";
  for (const piece of pieces) text += matcher.push(piece);
  if (!matcher.stopped) text += matcher.end();
  return { text, stopped: matcher.stopped };
}

describe("StopMatcher", () => {
  it("finds a stop string across pieces and emits nothing of it", () => {
    expect(run(["STOP"], ["one S", "T", "OP two"])).toEqual({ text: "one ", stopped: true });
  });

  it("releases a beginning that turns out to be no stop string", () => {
    const matcher = new StopMatcher(["abc"]);
    expect(matcher.push("xab")).toBe("x");
    expect(matcher.push("d")).toBe("abd");
    expect(matcher.push("ab")).toBe("");
    expect(matcher.end()).toBe("ab");
  });

  it("stops at the earliest of several", () => {
    expect(run(["late", "ear"], ["an early and a late one"]).text).toBe("an ");
  });

  it("equals a search of the whole text however it is cut", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 20 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        letters,
        fc.array(stop, { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat(5)),
        (text, stops, cuts) => {
          const pieces: string[] = [];
          let rest = text;
          for (const cut of cuts) {
            pieces.push(rest.slice(0, cut));
            rest = rest.slice(cut);
          }
          pieces.push(rest);
          const found = stops.map((each) => text.indexOf(each)).filter((at) => at >= 0);
          const outcome = run(stops, pieces);
          expect(outcome.stopped).toBe(found.length > 0);
          // The earliest end decides when pieces are cut finely,
          // so the text is a prefix of what a full search keeps.
          if (found.length === 0) expect(outcome.text).toBe(text);
          else for (const each of stops) expect(outcome.text.includes(each)).toBe(false);
          expect(text.startsWith(outcome.text)).toBe(true);
        },
      ),
    );
  });
});
