// Writes docs/recipe.schema.json, what editors complete a recipe.json of `skim compress --recipe` by. Run it after changing
// a step (`npm run schema`); a test fails when the file is not what the code says.
import { writeFileSync } from "node:fs";
import { recipeJsonSchema } from "../dist/cli/pipeline/recipe-file.js";

writeFileSync(
  new URL("../docs/recipe.schema.json", import.meta.url),
  `${JSON.stringify(recipeJsonSchema(), undefined, 2)}\n`,
);
