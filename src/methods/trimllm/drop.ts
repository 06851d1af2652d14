/**
 * Makes a trimmed checkpoint: the same tensors without those of the dropped sublayers, and the recipe that says so. A
 * checkpoint that is trimmed already is trimmed further; layer numbers stay those of the original.
 * Invariant: what is kept is kept byte for byte.
 */
import { OptionError, UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { overlayFile } from "../../formats/overlay-file.ts";
import { loadProgram } from "../../models/registry.ts";
import { predictorTensors } from "../prosparse/recipe.ts";
import { type Recipe, readRecipes, recipeSection } from "../recipes.ts";
import { type SublayerId, sublayerName, sublayersOf, type TrimOrigin, type TrimRecipe } from "./recipe.ts";
import { restoreAbsentTensors } from "./rewrite.ts";
import { isSame, listSublayers } from "./sublayers.ts";

export interface DropResult {
  readonly file: ModelFile;
  readonly recipe: TrimRecipe;
}

/**
 * `base` without `dropped`. OptionError for sublayers that the model does not have (any more) or has only these,
 * UnsupportedError when `base` is quantized by a recipe: such a recipe speaks of tensors that would go.
 */
export async function dropSublayers(
  base: ModelFile,
  dropped: readonly SublayerId[],
  origin?: TrimOrigin,
): Promise<DropResult> {
  const recipes = readRecipes(base);
  const quantized = recipes.find(({ method }) => method === "tender" || method === "inputGroups");
  if (quantized !== undefined) {
    throw new UnsupportedError(
      `${base.name}: is quantized by the method ${quantized.method}, expected a model that is not - drop first, then quantize`,
    );
  }
  const before = recipes.find((recipe) => recipe.method === "trimllm");
  const original = before === undefined ? base : restoreAbsentTensors(base, before);
  const sublayers = listSublayers((await loadProgram(original)).program);
  const earlier = before === undefined ? [] : sublayersOf(before, false);
  const isEarlier = (id: SublayerId) => earlier.some((other) => isSame(other, id));
  checkDropped(
    base.name,
    sublayers.filter((sublayer) => !isEarlier(sublayer)),
    dropped,
  );
  const isGone = (id: SublayerId) => isEarlier(id) || dropped.some((other) => isSame(other, id));
  const layerCount = Math.max(...sublayers.map(({ layer }) => layer)) + 1;
  const recipe: TrimRecipe = {
    method: "trimllm",
    version: 1,
    layers: Array.from({ length: layerCount }, (_, layer) => ({
      attention: !isGone({ layer, kind: "attention" }),
      mlp: !isGone({ layer, kind: "mlp" }),
    })),
    absent: sublayers
      .filter(isGone)
      .flatMap(({ tensors }) =>
        tensors.map((name) => ({ name, shape: [...(original.tensors.get(name)?.shape ?? [])] })),
      ),
    ...(origin === undefined ? {} : { origin }),
  };
  const hidden = [...recipe.absent.map(({ name }) => name), ...predictorsOfGone(recipes, isGone)];
  // First, as other recipes speak of the program that is left.
  const others = recipes
    .filter(({ method }) => method !== "trimllm")
    .flatMap((other) => withoutGone(other, isGone));
  const section = recipeSection([recipe, ...others]);
  return { file: overlayFile(base, [], section, hidden), recipe };
}

/** Tensors of predictors whose feed-forward is gone. */
function predictorsOfGone(recipes: readonly Recipe[], isGone: (id: SublayerId) => boolean): string[] {
  return recipes
    .flatMap((recipe) => (recipe.method === "prosparse" ? recipe.layers : []))
    .filter(({ layer, predictor }) => predictor !== undefined && isGone({ layer, kind: "mlp" }))
    .flatMap(({ layer }) => Object.values(predictorTensors(layer)));
}

/** A recipe that names layers without those whose feed-forward is gone; none where no layer is left. */
function withoutGone(recipe: Recipe, isGone: (id: SublayerId) => boolean): Recipe[] {
  if (recipe.method !== "prosparse") return [recipe];
  const layers = recipe.layers.filter(({ layer }) => !isGone({ layer, kind: "mlp" }));
  return layers.length === 0 ? [] : [{ ...recipe, layers }];
}

function checkDropped(source: string, present: readonly SublayerId[], dropped: readonly SublayerId[]): void {
  const names = present.map(sublayerName);
  for (const id of dropped) {
    if (!names.includes(sublayerName(id))) {
      throw new OptionError(
        `${source}: has no sublayer ${sublayerName(id)}, expected some of ${names.join(", ")}`,
      );
    }
  }
  if (new Set(dropped.map(sublayerName)).size !== dropped.length || dropped.length === 0) {
    throw new OptionError(
      `${source}: expected each sublayer to drop once, got ${dropped.map(sublayerName).join(", ") || "none"}`,
    );
  }
  if (dropped.length === present.length) {
    throw new OptionError(`${source}: expected at least one sublayer to be left - drop fewer`);
  }
}
