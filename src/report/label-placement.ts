/**
 * Places for the names of points in a plot: beside each point, clear of other points, names and lines where
 * there is room. Greedy: names are placed one after the other, each where it covers least.
 * Invariant: a name lies inside the frame whenever it fits into it at all.
 */
export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface LabelRequest extends Place {
  readonly width: number;
  readonly height: number;
}

export interface PlacedLabel {
  /** Centre of the name. */
  readonly x: number;
  readonly y: number;
  /** Whether it lies so far from its point that a line must join them. */
  readonly far: boolean;
}

/** Distances between a point and the nearest edge of its name. */
const DISTANCES = [9, 20, 34, 50, 70];
const DIRECTIONS = Array.from({ length: 16 }, (_, i) => (i * Math.PI) / 8);
const [NAME_COST, POINT_COST, LINE_COST, OUTSIDE_COST] = [40, 12, 6, 1000];
/** Half the width of a point. */
const POINT_SIZE = 6;

/** A place for each request, in their order. `lines` are pairs of ends that names should not lie on. */
export function placeLabels(
  requests: readonly LabelRequest[],
  frame: Box,
  lines: readonly (readonly [Place, Place])[],
): PlacedLabel[] {
  const points = requests.map(({ x, y }) => boxAround({ x, y }, 2 * POINT_SIZE, 2 * POINT_SIZE));
  const taken: Box[] = [];
  return requests.map((request) => {
    let best: { cost: number; label: PlacedLabel; box: Box } | undefined;
    for (const [ring, distance] of DISTANCES.entries()) {
      for (const direction of DIRECTIONS) {
        const centre = beside(request, direction, distance);
        const box = boxAround(centre, request.width, request.height);
        const cost =
          OUTSIDE_COST * (inside(box, frame) ? 0 : 1) +
          NAME_COST * taken.filter((other) => overlaps(box, other)).length +
          POINT_COST * points.filter((other) => overlaps(box, other)).length +
          LINE_COST * lines.filter(([from, to]) => crosses(from, to, box)).length +
          preference(ring, direction);
        if (best === undefined || cost < best.cost) best = { cost, label: { ...centre, far: ring > 0 }, box };
      }
    }
    const { label, box } = best as NonNullable<typeof best>;
    taken.push(box);
    return label;
  });
}

/** Near is better, then right or left of the point, then above. */
function preference(ring: number, direction: number): number {
  return 2.5 * ring + 0.8 * Math.abs(Math.sin(direction)) + (Math.sin(direction) > 0 ? 0.3 : 0);
}

/**
 * Centre of a name that lies in `direction` (downwards is positive) with `distance` between it and the point.
 */
function beside({ x, y, width, height }: LabelRequest, direction: number, distance: number): Place {
  const [cosine, sine] = [Math.cos(direction), Math.sin(direction)];
  return {
    x: x + cosine * (distance + width / 2),
    y: y + sine * (distance + height / 2),
  };
}

function boxAround({ x, y }: Place, width: number, height: number): Box {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

function inside(box: Box, frame: Box): boolean {
  return (
    box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom
  );
}

export function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/**
 * Whether the line from `from` to `to` touches the box (Liang and Barsky's clipping leaves something of it).
 */
function crosses(from: Place, to: Place, box: Box): boolean {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  let [enter, leave] = [0, 1];
  for (const [step, room] of [
    [-dx, from.x - box.left],
    [dx, box.right - from.x],
    [-dy, from.y - box.top],
    [dy, box.bottom - from.y],
  ]) {
    if (step === 0 && room < 0) return false;
    if (step < 0) enter = Math.max(enter, room / step);
    if (step > 0) leave = Math.min(leave, room / step);
  }
  return enter <= leave;
}
