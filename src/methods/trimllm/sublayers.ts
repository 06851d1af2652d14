/**
 * Finds the sublayers of a program: the runs of ops from a layer's norm to the addition that puts the result onto the
 * residual stream. It goes by the names that families give their weights, so it serves every family.
 * Invariant: ops outside a sublayer read nothing that the sublayer computes except the residual stream itself.
 */
import { UnsupportedError } from "../../errors.ts";
import { buffersRead, buffersWritten, weightsOf } from "../../program/dataflow.ts";
import type { Op, Program } from "../../program/program.ts";
import { layerWeight } from "../../program/weight-names.ts";
import { type SublayerId, type SublayerKind, sublayerName } from "./recipe.ts";

export interface Sublayer extends SublayerId {
  /** Index of its first op, its norm. */
  readonly first: number;
  /** Index of its last op, the addition to the residual stream. */
  readonly last: number;
  /** Names of the tensors that it uses and nothing else does. */
  readonly tensors: readonly string[];
}

const KINDS: Readonly<Record<string, SublayerKind>> = { attention: "attention", feedForward: "mlp" };

/**
 * All sublayers in the order they run. UnsupportedError where they cannot be told apart: shared tensors, or a layer whose
 * attention and feed-forward are not one after the other.
 */
export function listSublayers(program: Program): readonly Sublayer[] {
  const { ops } = program;
  const found: Omit<Sublayer, "tensors">[] = [];
  for (let first = 0; first < ops.length; first++) {
    const id = sublayerOf(ops[first]);
    if (id === undefined) continue;
    const residual = buffersRead(ops[first])[0]?.name;
    const last = ops.findIndex(
      (op, i) => i > first && op.kind === "add" && op.out.name === residual && op.a.name === residual,
    );
    const strange =
      last < 0
        ? id
        : ops
            .slice(first, last + 1)
            .map(sublayerOf)
            .find((other) => other && !isSame(other, id));
    const again = found.some((other) => isSame(other, id));
    if (ops[first].kind !== "rmsNorm" || strange !== undefined || again) throw notSeparate(program, id);
    found.push({ ...id, first, last });
    first = last;
  }
  const sublayers = found.map((sublayer) => ({ ...sublayer, tensors: ownTensors(program, sublayer) }));
  checkIndependence(program, sublayers);
  return sublayers;
}

/** Whether two ids mean the same sublayer. */
export function isSame(a: SublayerId, b: SublayerId): boolean {
  return a.layer === b.layer && a.kind === b.kind;
}

/** The sublayer whose weights an op uses. */
function sublayerOf(op: Op): SublayerId | undefined {
  for (const { name } of weightsOf(op)) {
    const place = layerWeight(name);
    const kind = place && KINDS[place.part.split(".")[0]];
    if (place !== undefined && kind !== undefined) return { layer: place.layer, kind };
  }
  return undefined;
}

function ownTensors({ ops, name }: Program, sublayer: Omit<Sublayer, "tensors">): string[] {
  const isInside = (index: number) => index >= sublayer.first && index <= sublayer.last;
  const inside = new Set(
    ops.flatMap((op, i) => (isInside(i) ? weightsOf(op).map(({ tensor }) => tensor) : [])),
  );
  const shared = ops
    .flatMap((op, i) => (isInside(i) ? [] : weightsOf(op)))
    .find(({ tensor }) => inside.has(tensor));
  if (shared !== undefined) {
    throw new UnsupportedError(
      `${name}: tensor ${shared.tensor} is used inside and outside of sublayer ${sublayerName(sublayer)}, expected sublayers with tensors of their own`,
    );
  }
  return [...inside];
}

/** Refuses programs where something is read that another sublayer computed, as parallel blocks do. */
function checkIndependence(program: Program, sublayers: readonly Sublayer[]): void {
  const at = (index: number) => sublayers.find(({ first, last }) => index >= first && index <= last);
  const writers = new Map<string, Sublayer | undefined>();
  program.ops.forEach((op, index) => {
    const own = at(index);
    const residual = own === undefined ? undefined : buffersWritten(program.ops[own.last])[0].name;
    for (const { name } of buffersRead(op)) {
      const writer = writers.get(name);
      if (writer !== undefined && writer !== own) throw notSeparate(program, writer);
    }
    for (const { name } of buffersWritten(op)) if (name !== residual) writers.set(name, own);
  });
}

function notSeparate(program: Program, id: SublayerId): UnsupportedError {
  return new UnsupportedError(
    `${program.name}: sublayer ${sublayerName(id)} cannot be taken out, expected a norm, attention or feed-forward, and an addition to the residual stream, one sublayer after the other`,
  );
}
