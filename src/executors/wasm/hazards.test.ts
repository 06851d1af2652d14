/**
 * Where threads must meet: every pair of accesses to one region between two barriers,
 * by how the work is shared out.
 */
import { describe, expect, test } from "vitest";
import { type Access, HazardTracker } from "./hazards.ts";

const SHARED: readonly Access[] = ["panels/8", "heads/4", "tiles"];

function touchedBy(kind: "read" | "write", access: Access): HazardTracker {
  const hazards = new HazardTracker();
  hazards[kind]("x", access);
  return hazards;
}

describe("reading what was written", () => {
  test("in the same share, or written whole by everybody, needs no barrier", () => {
    for (const access of SHARED) {
      expect(touchedBy("write", access).readConflicts("x", access)).toBe(false);
      expect(touchedBy("write", "whole").readConflicts("x", access)).toBe(false);
    }
    expect(touchedBy("write", "whole").readConflicts("x", "whole")).toBe(false);
  });

  test("in another share, or whole after shares, does", () => {
    expect(touchedBy("write", "panels/8").readConflicts("x", "panels/9")).toBe(true);
    expect(touchedBy("write", "heads/8").readConflicts("x", "panels/8")).toBe(true);
    for (const access of SHARED) expect(touchedBy("write", access).readConflicts("x", "whole")).toBe(true);
  });
});

describe("writing what was read or written", () => {
  test("in the same share needs no barrier", () => {
    for (const access of SHARED) {
      expect(touchedBy("read", access).writeConflicts("x", access)).toBe(false);
      expect(touchedBy("write", access).writeConflicts("x", access)).toBe(false);
    }
  });

  test("in another share, or where anybody touched the whole, does", () => {
    expect(touchedBy("read", "tiles").writeConflicts("x", "panels/8")).toBe(true);
    expect(touchedBy("write", "heads/2").writeConflicts("x", "heads/4")).toBe(true);
    for (const access of [...SHARED, "whole"] as const) {
      expect(touchedBy("read", "whole").writeConflicts("x", access)).toBe(true);
      expect(touchedBy("write", "whole").writeConflicts("x", access)).toBe(true);
    }
  });
});

test("what threads take as it comes conflicts with everything, itself included", () => {
  for (const access of [...SHARED, "taken", "whole"] as const) {
    expect(touchedBy("write", "taken").readConflicts("x", access)).toBe(true);
    expect(touchedBy("write", "taken").writeConflicts("x", access)).toBe(true);
  }
});

test("a thread's own copy conflicts with nothing", () => {
  const hazards = touchedBy("write", "panels/8");
  expect(hazards.readConflicts("x", "private")).toBe(false);
  expect(hazards.writeConflicts("x", "private")).toBe(false);
});

test("other regions, and what lies before a barrier, do not count", () => {
  const hazards = touchedBy("write", "panels/8");
  expect(hazards.readConflicts("y", "whole")).toBe(false);
  hazards.barrier();
  expect(hazards.readConflicts("x", "whole")).toBe(false);
  expect(hazards.writeConflicts("x", "whole")).toBe(false);
});
