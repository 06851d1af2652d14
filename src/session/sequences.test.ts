import { describe, expect, it } from "vitest";
import { SequencePool } from "./sequences.ts";

describe("SequencePool", () => {
  it("gives the slot with the longest common beginning and cuts the rest", async () => {
    const pool = new SequencePool(2);
    const a = await pool.acquire([1], undefined);
    const b = await pool.acquire([1], undefined);
    a.tokens.push(1, 2, 3);
    b.tokens.push(1, 2, 9, 9);
    pool.release(a);
    pool.release(b);
    const again = await pool.acquire([1, 2, 9, 5], undefined);
    expect(again.slot).toBe(b.slot);
    expect(again.tokens).toEqual([1, 2, 9]);
  });

  it("makes later callers wait in order, and lets them give up", async () => {
    const pool = new SequencePool(1);
    const held = await pool.acquire([1], undefined);
    const order: string[] = [];
    const controller = new AbortController();
    const first = pool.acquire([1], undefined).then((sequence) => {
      order.push("first");
      pool.release(sequence);
    });
    const leaving = pool.acquire([1], controller.signal);
    const last = pool.acquire([1], undefined).then(() => order.push("last"));
    controller.abort(new Error("gone"));
    await expect(leaving).rejects.toThrow("gone");
    pool.release(held);
    await Promise.all([first, last]);
    expect(order).toEqual(["first", "last"]);
  });
});
