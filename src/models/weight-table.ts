/**
 * Turns weight keys into the Weights of a program after checking that the checkpoint holds them in the right
 * shape. Matrices are [rows (outputs), columns (inputs)]; vectors become one row. Fused tensors yield a
 * Weight per part, told apart by its first row. Invariant: every Weight handed out exists in the file with
 * the shape it states.
 */
import { FormatError } from "../errors.ts";
import type { ModelFile } from "../formats/model-file.ts";
import type { Weight } from "../program/program.ts";
import {
  biasTensorName,
  type LayerWeightKey,
  type ModelWeightKey,
  type TensorNames,
  tensorName,
} from "./tensor-names.ts";

/** A range of rows of a fused tensor. */
export interface TensorPart {
  readonly firstRow: number;
  /** Rows of the whole tensor. */
  readonly tensorRows: number;
}

/** Whether biases exist: always, never, or wherever the file has one (GGUF has no flag for them). */
export type BiasRule = "required" | "none" | "ifPresent";

export class WeightTable {
  readonly #file: ModelFile;
  readonly #names: TensorNames;

  constructor(file: ModelFile, names: TensorNames) {
    this.#file = file;
    this.#names = names;
  }

  /** embedding or head [vocabulary, width] */
  matrix(key: ModelWeightKey, rows: number, columns: number): Weight {
    const tensor = tensorName(this.#names, key);
    return this.#weight(key, tensor, rows, columns, { firstRow: 0, tensorRows: rows });
  }

  vector(key: ModelWeightKey, length: number): Weight {
    return this.#vector(key, tensorName(this.#names, key), length);
  }

  /** Logits weights: the head's own tensor, or the embedding table under the head's name. */
  head(tied: boolean, rows: number, columns: number): Weight {
    const tensor = tensorName(this.#names, tied ? "embedding" : "head");
    return this.#weight("head", tensor, rows, columns, { firstRow: 0, tensorRows: rows });
  }

  layerMatrix(layer: number, key: LayerWeightKey, rows: number, columns: number, part?: TensorPart): Weight {
    const tensor = tensorName(this.#names, key, layer);
    return this.#weight(
      `layers.${layer}.${key}`,
      tensor,
      rows,
      columns,
      part ?? { firstRow: 0, tensorRows: rows },
    );
  }

  layerVector(layer: number, key: LayerWeightKey, length: number): Weight {
    return this.#vector(`layers.${layer}.${key}`, tensorName(this.#names, key, layer), length);
  }

  layerBias(layer: number, key: LayerWeightKey, length: number, rule: BiasRule): Weight | undefined {
    const tensor = biasTensorName(tensorName(this.#names, key, layer));
    if (rule === "none" || (rule === "ifPresent" && !this.#file.tensors.has(tensor))) {
      return undefined;
    }
    return this.#vector(`layers.${layer}.${key}.bias`, tensor, length);
  }

  #weight(name: string, tensor: string, rows: number, columns: number, part: TensorPart): Weight {
    this.#check(tensor, [part.tensorRows, columns]);
    return { name, rows, columns, tensor, firstRow: part.firstRow };
  }

  #vector(name: string, tensor: string, length: number): Weight {
    this.#check(tensor, [length]);
    return { name, rows: 1, columns: length, tensor, firstRow: 0 };
  }

  #check(tensor: string, shape: readonly number[]): void {
    const info = this.#file.tensors.get(tensor);
    if (info === undefined) {
      throw new FormatError(
        `${this.#file.name}: tensor ${tensor}, expected shape [${shape.join(", ")}], got no such tensor - the file is incomplete or not a ${this.#file.architecture} model`,
      );
    }
    if (info.shape.length !== shape.length || info.shape.some((size, axis) => size !== shape[axis])) {
      throw new FormatError(
        `${this.#file.name}: tensor ${tensor}, expected shape [${shape.join(", ")}], got [${info.shape.join(", ")}] - the file is damaged or its hyper-parameters belong to another model`,
      );
    }
  }
}
