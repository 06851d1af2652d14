import { expect, test } from "vitest";
import { ResourceError } from "../errors.ts";
import { writePlots } from "./simulate-memory-quality.ts";

test("says that the folder of the plots cannot be made", async () => {
  const writing = writePlots(`${import.meta.filename}/plots`, [], "title");
  await expect(writing).rejects.toBeInstanceOf(ResourceError);
  await expect(writing).rejects.toThrow(/plots: cannot be created \(ENOTDIR\) - check --plots/);
});
