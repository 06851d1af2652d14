/** A saved size of a trimming run, opened for as long as somebody looks at it. */
import type { ModelFile } from "../../formats/model-file.ts";
import { withFile } from "../../platform/with-file.ts";
import type { Program } from "../../program/program.ts";
import { loadRecipeProgram } from "../recipes.ts";
import type { TrimWorld } from "./trim-world.ts";

/** What `use` makes of the size's file and program. Errors of opening it. */
export async function withSize<Result>(
  world: TrimWorld,
  round: number,
  use: (file: ModelFile, program: Program) => Promise<Result>,
): Promise<Result> {
  return withFile(await world.openSize(round), async (file) =>
    use(file, (await loadRecipeProgram(file)).program),
  );
}
