/**
 * Names of a layer's weights in a program, as the families give them: layers.N. and the part,
 * such as feedForward.gate.
 */

export interface LayerWeight {
  readonly layer: number;
  /** The name without the layer, such as "feedForward.gate". */
  readonly part: string;
}

/** undefined for the name of a weight outside the layers: embedding, last norm, head. */
export function layerWeight(name: string): LayerWeight | undefined {
  const match = /^layers\.(\d+)\.(.+)$/.exec(name);
  return match === null ? undefined : { layer: Number(match[1]), part: match[2] };
}

/** The layer whose weight of this part has the name; undefined for all other names. */
export function layerOfPart(name: string, part: string): number | undefined {
  const weight = layerWeight(name);
  return weight?.part === part ? weight.layer : undefined;
}
