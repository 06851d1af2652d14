/**
 * recipe.json of `skim compress --recipe`: the steps in order, each with its own data and settings, and the
 * text that the model is measured on after every step. A step's fields are flags of the command that does its
 * work, though not all of them: whatever a recipe can say, the command line can say too.
 * Invariant: docs/recipe.schema.json is `recipeJsonSchema()`; a test compares them.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { FormatError, ResourceError } from "../../errors.ts";
import { PERPLEXITY_PROTOCOLS } from "../../evaluation/perplexity.ts";
import { stepSchema } from "./step-schemas.ts";

/** Version of the file; raised when an old recipe would mean something else. */
const RECIPE_VERSION = 1;

const evaluateSchema = z
  .strictObject({
    text: z.string().describe("UTF-8 text that no step trains on, relative to this file"),
    characters: z.int().min(1).default(100_000).describe("how much of the text to score, from its beginning"),
    protocol: z.enum(PERPLEXITY_PROTOCOLS).default("hf").describe("how windows are cut and scored"),
    context: z.int().min(2).default(256).describe("tokens per window"),
  })
  .describe("what quality is measured on before the first and after every step");

const recipeFileSchema = z
  .strictObject({
    $schema: z.string().optional().describe("where editors find the schema of this file"),
    version: z.literal(RECIPE_VERSION),
    evaluate: evaluateSchema.optional(),
    steps: z.array(stepSchema).min(1).describe("done in this order"),
  })
  .describe("What skim compress --recipe does to a model, step by step.");

export type RecipeFile = z.infer<typeof recipeFileSchema>;
export type Evaluation = z.infer<typeof evaluateSchema>;

/** The JSON schema of recipe.json, for editors. */
export function recipeJsonSchema(): object {
  return z.toJSONSchema(recipeFileSchema, { io: "input", target: "draft-7" });
}

/** Reads and checks a recipe; paths in it become absolute. FormatError names the path of the wrong field. */
export async function readRecipeFile(file: string): Promise<RecipeFile> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new ResourceError(`${file}: the recipe cannot be read (${error.code}) - check --recipe`, {
      cause: error,
    });
  });
  const recipe = parseRecipe(text, file);
  return resolvePaths(recipe, path.dirname(path.resolve(file)));
}

/** Checks the text of a recipe. Exported for tests. */
export function parseRecipe(text: string, name: string): RecipeFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FormatError(
      `${name}: no JSON (${error instanceof Error ? error.message : error}) - fix the recipe`,
    );
  }
  const outcome = recipeFileSchema.safeParse(json);
  if (outcome.success) return outcome.data;
  const issue = outcome.error.issues[0];
  const where = issue.path.length === 0 ? "the recipe" : formatPath(issue.path);
  throw new FormatError(
    `${name}: ${where}: ${issue.message} - docs/recipe.schema.json lists what a recipe can say`,
  );
}

/** `steps[1].bits` */
function formatPath(parts: readonly PropertyKey[]): string {
  return parts
    .map((part, i) => (typeof part === "number" ? `[${part}]` : `${i > 0 ? "." : ""}${String(part)}`))
    .join("");
}

function resolvePaths(recipe: RecipeFile, folder: string): RecipeFile {
  const steps = recipe.steps.map((step) => {
    const files = PATH_FIELDS.flatMap((field) => {
      const value = (step as Readonly<Record<string, unknown>>)[field];
      return typeof value === "string" ? [[field, path.resolve(folder, value)]] : [];
    });
    return { ...step, ...Object.fromEntries(files) };
  });
  const { evaluate } = recipe;
  return {
    ...recipe,
    ...(evaluate && { evaluate: { ...evaluate, text: path.resolve(folder, evaluate.text) } }),
    steps,
  };
}

/** Fields of steps that name files or folders. */
export const PATH_FIELDS = ["text", "data", "valid", "test", "lora"] as const;
