// Instructions of training tapes, walked by the interpreter of tape.as.ts: word 0 the opcode, word 1
// the number of words, arguments as listed. Rows are shared out in contiguous ranges; where rows are
// summed, columns are, so that every sum is made by one thread in the order of rows. A barrier stands
// between all instructions.
import { add_f32 } from "../add/add.as";
import { attention_gradient_f32 } from "../attention/gradient.as";
import { sequence_attention_f32 } from "../attention/sequence.as";
import { add_scaled_f32 } from "../embed/gradient.as";
import { glu_f32 } from "../glu/glu.as";
import { glu_gradient_f32 } from "../glu/gradient.as";
import { CONTROL_OUTPUTS, CONTROL_OUTPUT_ROWS, CONTROL_POSITIONS, CONTROL_TOKENS, CONTROL_TOKEN_IDS } from "../layout";
import { cross_entropy_f32, distillation_f32, l1_gradient_f32 } from "../loss/loss.as";
import { multiply_f32, pack_columns_f32 } from "../matrix/multiply.as";
import { adamw_f32, square_sum_f32 } from "../optimizer/optimizer.as";
import {
  rms_norm_input_gradient_f32, rms_norm_inverses_f32, rms_norm_weight_gradient_f32,
} from "../rms-norm/gradient.as";
import { rms_norm_f32 } from "../rms-norm/rms-norm.as";
import { rope_f32_halves, rope_f32_interleaved } from "../rope/rope.as";
import { scale_f32 } from "../scale/scale.as";
import { keep_columns_f32 } from "../select-columns/keep.as";
import {
  EXTENT_OUTPUTS, EXTENT_TOKENS, NORM_CHUNK, OP_ACTIVATE_ROWS, OP_ADAMW, OP_ADD_ROWS, OP_ATTENTION_GRADIENT, OP_BIAS_GRADIENT,
  OP_CROSS_ENTROPY, OP_DISTILLATION, OP_EMBED_GRADIENT, OP_EMBED_ROWS, OP_FILL_ROWS, OP_GATHER_ROWS, OP_GLU_GRADIENT,
  OP_GLU_ROWS, OP_KEEP_COLUMNS, OP_L1_GRADIENT, OP_MULTIPLY, OP_NORM_INPUT_GRADIENT, OP_NORM_INVERSES, OP_NORM_ROWS,
  OP_NORM_WEIGHT_GRADIENT, OP_PACK_COLUMNS, OP_ROTATE, OP_SCALE_ROWS, OP_SCATTER_ROWS, OP_SEQUENCE_ATTENTION,
  OP_SQUARE_SUMS, SCALAR_L1_WEIGHT, SCALAR_TARGET_WEIGHT, SCALAR_TEACHER_WEIGHT,
} from "../training-layout";
import { address, real, shareOf, word } from "./words.as";

/** Where the running instruction's thread stands; set by runTraining. */
let control: usize = 0;
let thread: i32 = 0;
let threads: i32 = 1;

/** Address of a row: base in word `index`, stride in the next. */
// @ts-ignore: decorator
@inline function rowAt(p: usize, index: i32, row: usize): usize { return address(p, index) + row * address(p, index + 1); }

/** An extent: kind in word `index`, fixed number in the next. */
function extent(p: usize, index: i32): i32 {
  const kind = word(p, index);
  if (kind == EXTENT_TOKENS) return load<i32>(control + CONTROL_TOKENS);
  if (kind == EXTENT_OUTPUTS) return load<i32>(control + CONTROL_OUTPUTS);
  return word(p, index + 1);
}

// @ts-ignore: decorator
@inline function share(count: i32, index: i32): i32 { return shareOf(count, index, threads); }
// @ts-ignore: decorator
@inline function firstOf(count: i32): i32 { return share(count, thread); }
// @ts-ignore: decorator
@inline function lastOf(count: i32): i32 { return share(count, thread + 1); }

/** steps (2), columns, source, stride, transposed, target */
function packColumns(p: usize): void {
  const panels = (word(p, 4) + 7) >> 3;
  pack_columns_f32(
    address(p, 5), address(p, 6), word(p, 7) != 0, extent(p, 2), panels, firstOf(panels), lastOf(panels), address(p, 8),
  );
}

/**
 * rows (2), steps (2), columns, a, aStride, aTransposed, b, c, cStride, accumulate, padded,
 * scratch, scratchStride
 */
function multiply(p: usize): void {
  const rows = extent(p, 2), columns = word(p, 6), padded = word(p, 14) != 0;
  const tiles = (rows + 3) >> 2, first = firstOf(tiles) << 2, last = lastOf(tiles) << 2;
  if (first >= last) return;
  const rowEnd = padded ? tiles << 2 : rows, columnEnd = padded ? (columns + 7) & ~7 : columns;
  multiply_f32(
    address(p, 7), address(p, 8), word(p, 9) != 0, address(p, 10), address(p, 11), address(p, 12), first, last, columns,
    extent(p, 4), word(p, 13) != 0, rowEnd, columnEnd, address(p, 15) + <usize>thread * address(p, 16),
  );
}

/** rows (2), source, out, outStride, bytes: the same row everywhere */
function fillRows(p: usize): void {
  const rows = extent(p, 2);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    memory.copy(rowAt(p, 5, row), address(p, 4), address(p, 7));
  }
}

/** table, rowBytes, factor, out, outStride */
function embedRows(p: usize): void {
  const rows = load<i32>(control + CONTROL_TOKENS), tokens = load<usize>(control + CONTROL_TOKEN_IDS);
  const bytes = address(p, 3), factor = real(p, 4);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    const from = address(p, 2) + <usize>load<i32>(tokens + (<usize>row << 2)) * bytes, to = rowAt(p, 5, row);
    for (let i: usize = 0; i < bytes; i += 4) store<f32>(to + i, load<f32>(from + i) * factor);
  }
}

/** rows (2), x, xStride, weight, out, outStride, width, groups, epsilon */
function normRows(p: usize): void {
  const rows = extent(p, 2);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    rms_norm_f32(rowAt(p, 4, row), address(p, 6), rowAt(p, 7, row), word(p, 9), word(p, 10), real(p, 11));
  }
}

/** rows (2), kind, threshold, gate, gateStride, up, upStride, out, outStride, bytes */
function gluRows(p: usize): void {
  const rows = extent(p, 2), bytes = address(p, 12);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    glu_f32(word(p, 4), real(p, 5), rowAt(p, 6, row), rowAt(p, 8, row), rowAt(p, 10, row), bytes);
  }
}

/**
 * rows (2), kind, threshold, x (2), out (2), bytes, scratch, scratchStride: a gated unit whose ups are ones
 */
function activateRows(p: usize): void {
  const rows = extent(p, 2), bytes = address(p, 10), ones = address(p, 11) + <usize>thread * address(p, 12);
  for (let i: usize = 0; i < bytes; i += 4) store<f32>(ones + i, 1);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    glu_f32(word(p, 4), real(p, 5), rowAt(p, 6, row), ones, rowAt(p, 8, row), bytes);
  }
}

/** rows (2), a, aStride, b, bStride, out, outStride, bytes, factor */
function addRows(p: usize): void {
  const rows = extent(p, 2);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    add_f32(rowAt(p, 4, row), rowAt(p, 6, row), rowAt(p, 8, row), address(p, 10), real(p, 11));
  }
}

/** rows (2), x, xStride, out, outStride, bytes, factor */
function scaleRows(p: usize): void {
  const rows = extent(p, 2);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    scale_f32(rowAt(p, 4, row), rowAt(p, 6, row), address(p, 8), real(p, 9));
  }
}

/** rows (2), by (2), x (2), out (2), width, rule, count or threshold, scratch, scratchStride */
function keepColumns(p: usize): void {
  const rows = extent(p, 2), scratch = address(p, 13) + <usize>thread * address(p, 14);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    keep_columns_f32(
      word(p, 11), word(p, 12), real(p, 12), rowAt(p, 4, row), rowAt(p, 6, row), rowAt(p, 8, row), word(p, 10),
      address(p, 9), scratch,
    );
  }
}

/** x, xStride, out, outStride, bytes: out[r] = x[outputs[r]] */
function gatherRows(p: usize): void {
  const rows = load<i32>(control + CONTROL_OUTPUTS), picked = load<usize>(control + CONTROL_OUTPUT_ROWS);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    memory.copy(rowAt(p, 4, row), rowAt(p, 2, load<i32>(picked + (<usize>row << 2))), address(p, 6));
  }
}

/**
 * gradient, gradientStride, out, outStride, bytes: out = 0,
 * out[outputs[r]] = gradient[r] with ascending outputs
 */
function scatterRows(p: usize): void {
  const rows = load<i32>(control + CONTROL_TOKENS), outputs = load<i32>(control + CONTROL_OUTPUTS);
  const picked = load<usize>(control + CONTROL_OUTPUT_ROWS), first = firstOf(rows), last = lastOf(rows);
  memory.fill(rowAt(p, 4, first), 0, <usize>(last - first) * address(p, 5));
  for (let r = 0; r < outputs; r++) {
    const row = load<i32>(picked + (<usize>r << 2));
    if (row >= first && row < last) memory.copy(rowAt(p, 4, row), rowAt(p, 2, r), address(p, 6));
  }
}

/** x, xStride, out, outStride, bytes, heads, headWidth, pairs, interleaved, angles by position */
function rotate(p: usize): void {
  const rows = load<i32>(control + CONTROL_TOKENS), positions = load<usize>(control + CONTROL_POSITIONS);
  const pairs = word(p, 9);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    const out = rowAt(p, 4, row), position = <usize>load<i32>(positions + (<usize>row << 2));
    const angles = address(p, 11) + position * (<usize>pairs << 3);
    memory.copy(out, rowAt(p, 2, row), address(p, 6));
    if (word(p, 10) != 0) rope_f32_interleaved(out, 0, word(p, 7), word(p, 8), pairs, angles);
    else rope_f32_halves(out, 0, word(p, 7), word(p, 8), pairs, angles);
  }
}

/**
 * query (2), key (2), value (2), out (2), logSumExp (2), heads, kvHeads, headWidth, scale, window (0: none),
 * bounds, maskPlaces, scalars, scratch, scratchStride
 */
function sequenceAttention(p: usize): void {
  const kvHeads = word(p, 13), width = word(p, 14), group = word(p, 12) / kvHeads, bounds = address(p, 17);
  const units = load<i32>(address(p, 19)) * kvHeads;
  const scratch = address(p, 20) + <usize>thread * address(p, 21);
  for (let unit = firstOf(units), last = lastOf(units); unit < last; unit++) {
    const sequence = bounds + (<usize>(unit / kvHeads) << 2), kvHead = unit % kvHeads;
    const start = load<i32>(sequence), rows = load<i32>(sequence, 4) - start;
    const head = <usize>(kvHead * group * width) << 2, shared = <usize>(kvHead * width) << 2;
    sequence_attention_f32(
      rowAt(p, 2, start) + head, address(p, 3), rowAt(p, 4, start) + shared, address(p, 5), rowAt(p, 6, start) + shared,
      address(p, 7), rowAt(p, 8, start) + head, address(p, 9), rowAt(p, 10, start) + (<usize>(kvHead * group) << 2),
      address(p, 11), rows, width, group, real(p, 15), word(p, 16),
      load<u32>(address(p, 18) + (<usize>(unit / kvHeads) << 2)), scratch,
    );
  }
}

/**
 * query (2), key (2), value (2), attended (2), gradient (2), logSumExp (2), dQuery (2), dKey (2), dValue (2),
 * heads, kvHeads, headWidth, scale, window, bounds, maskPlaces, scalars, scratch, scratchStride
 */
function attentionGradient(p: usize): void {
  const kvHeads = word(p, 21), width = word(p, 22), group = word(p, 20) / kvHeads, bounds = address(p, 25);
  const units = load<i32>(address(p, 27)) * kvHeads;
  const scratch = address(p, 28) + <usize>thread * address(p, 29);
  for (let unit = firstOf(units), last = lastOf(units); unit < last; unit++) {
    const sequence = bounds + (<usize>(unit / kvHeads) << 2), kvHead = unit % kvHeads;
    const start = load<i32>(sequence), rows = load<i32>(sequence, 4) - start;
    const head = <usize>(kvHead * group * width) << 2, shared = <usize>(kvHead * width) << 2;
    attention_gradient_f32(
      rowAt(p, 2, start) + head, address(p, 3), rowAt(p, 4, start) + shared, address(p, 5), rowAt(p, 6, start) + shared,
      address(p, 7), rowAt(p, 8, start) + head, address(p, 9), rowAt(p, 10, start) + head, address(p, 11),
      rowAt(p, 12, start) + (<usize>(kvHead * group) << 2), address(p, 13), rowAt(p, 14, start) + head, address(p, 15),
      rowAt(p, 16, start) + shared, address(p, 17), rowAt(p, 18, start) + shared, address(p, 19), rows, width, group,
      real(p, 23), word(p, 24), load<u32>(address(p, 26) + (<usize>(unit / kvHeads) << 2)), scratch,
    );
  }
}

/** logits (2), gradient (2), losses (2), targets, width, scalars */
function crossEntropy(p: usize): void {
  const rows = load<i32>(control + CONTROL_OUTPUTS), weight = load<f32>(address(p, 10) + (SCALAR_TARGET_WEIGHT << 2));
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    const target = load<i32>(address(p, 8) + (<usize>row << 2));
    store<f32>(rowAt(p, 6, row), cross_entropy_f32(rowAt(p, 2, row), rowAt(p, 4, row), target, word(p, 9), weight));
  }
}

/** logits (2), teacher (2), gradient (2), losses (2), width, temperature, scalars, scratch, scratchStride */
function distillation(p: usize): void {
  const rows = load<i32>(control + CONTROL_OUTPUTS), weight = load<f32>(address(p, 12) + (SCALAR_TEACHER_WEIGHT << 2));
  const scratch = address(p, 13) + <usize>thread * address(p, 14);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    store<f32>(
      rowAt(p, 8, row),
      distillation_f32(rowAt(p, 2, row), rowAt(p, 4, row), rowAt(p, 6, row), word(p, 10), real(p, 11), weight, scratch),
    );
  }
}

/** rows (2), x (2), gradient (2), sums (2), width, scalars */
function l1Gradient(p: usize): void {
  const rows = extent(p, 2), weight = load<f32>(address(p, 11) + (SCALAR_L1_WEIGHT << 2));
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    store<f32>(rowAt(p, 8, row), l1_gradient_f32(rowAt(p, 4, row), rowAt(p, 6, row), word(p, 10), weight));
  }
}

/** rows (2), gradient (2), target, width: target += sum over rows */
function biasGradient(p: usize): void {
  const rows = extent(p, 2), width = word(p, 7), first = <usize>firstOf(width) << 2;
  const bytes = (<usize>lastOf(width) << 2) - first;
  for (let row = 0; row < rows; row++) add_scaled_f32(address(p, 6) + first, rowAt(p, 4, row) + first, bytes, 1);
}

/** gradient (2), table, width, factor */
function embedGradient(p: usize): void {
  const rows = load<i32>(control + CONTROL_TOKENS), tokens = load<usize>(control + CONTROL_TOKEN_IDS);
  const width = word(p, 5), first = <usize>firstOf(width) << 2, bytes = (<usize>lastOf(width) << 2) - first;
  for (let row = 0; row < rows; row++) {
    const token = <usize>load<i32>(tokens + (<usize>row << 2));
    const target = address(p, 4) + token * (<usize>width << 2) + first;
    add_scaled_f32(target, rowAt(p, 2, row) + first, bytes, real(p, 6));
  }
}

/** rows (2), x (2), inverses, width, groups, epsilon */
function normInverses(p: usize): void {
  const rows = extent(p, 2), groups = word(p, 8);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    const inverses = address(p, 6) + (<usize>(row * groups) << 2);
    rms_norm_inverses_f32(rowAt(p, 4, row), inverses, word(p, 7), groups, real(p, 9));
  }
}

/** rows (2), x (2), gradient (2), inverses, target, width, groups */
function normWeightGradient(p: usize): void {
  const rows = extent(p, 2), width = word(p, 10), groups = word(p, 11), columns = width / groups;
  const first = firstOf(columns), last = lastOf(columns);
  for (let row = 0; row < rows; row++) {
    const inverses = address(p, 8) + (<usize>(row * groups) << 2);
    rms_norm_weight_gradient_f32(
      rowAt(p, 4, row), rowAt(p, 6, row), inverses, address(p, 9), width, groups, first, last,
    );
  }
}

/** rows (2), x (2), weight, gradient (2), out (2), width, groups, epsilon, accumulate */
function normInputGradient(p: usize): void {
  const rows = extent(p, 2);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    rms_norm_input_gradient_f32(
      rowAt(p, 4, row), address(p, 6), rowAt(p, 7, row), rowAt(p, 9, row), word(p, 11), word(p, 12), real(p, 13),
      word(p, 14) != 0,
    );
  }
}

/** rows (2), kind, threshold, gate (2), up (2), gradient (2), gateGradient (2), upGradient (2), bytes */
function gluGradient(p: usize): void {
  const rows = extent(p, 2);
  for (let row = firstOf(rows), last = lastOf(rows); row < last; row++) {
    glu_gradient_f32(
      word(p, 4), real(p, 5), rowAt(p, 6, row), rowAt(p, 8, row), rowAt(p, 10, row), rowAt(p, 12, row),
      rowAt(p, 14, row), address(p, 16),
    );
  }
}

/** values, bytes (whole vectors), sums: one sum per chunk */
function squareSums(p: usize): void {
  const bytes = address(p, 3), chunk: usize = NORM_CHUNK << 2;
  const chunks = <i32>((bytes + chunk - 1) / chunk);
  for (let i = firstOf(chunks), last = lastOf(chunks); i < last; i++) {
    const start = <usize>i * chunk;
    store<f32>(address(p, 4) + (<usize>i << 2), square_sum_f32(address(p, 2) + start, min(chunk, bytes - start)));
  }
}

/** weights, gradients, first, second, bytes (whole vectors), scalars, decays */
function adamW(p: usize): void {
  const vectors = <i32>(address(p, 6) >> 4), start = <usize>firstOf(vectors) << 4;
  const bytes = (<usize>lastOf(vectors) << 4) - start;
  adamw_f32(
    address(p, 2) + start, address(p, 3) + start, address(p, 4) + start, address(p, 5) + start, bytes, address(p, 7),
    word(p, 8) != 0,
  );
}

/** Runs one instruction of a training tape. */
export function runTraining(p: usize, controlBlock: usize, index: i32, count: i32): void {
  control = controlBlock;
  thread = index;
  threads = count;
  switch (word(p, 0)) {
    case OP_PACK_COLUMNS: packColumns(p); break;
    case OP_MULTIPLY: multiply(p); break;
    case OP_FILL_ROWS: fillRows(p); break;
    case OP_EMBED_ROWS: embedRows(p); break;
    case OP_NORM_ROWS: normRows(p); break;
    case OP_GLU_ROWS: gluRows(p); break;
    case OP_ACTIVATE_ROWS: activateRows(p); break;
    case OP_ADD_ROWS: addRows(p); break;
    case OP_SCALE_ROWS: scaleRows(p); break;
    case OP_KEEP_COLUMNS: keepColumns(p); break;
    case OP_GATHER_ROWS: gatherRows(p); break;
    case OP_SCATTER_ROWS: scatterRows(p); break;
    case OP_ROTATE: rotate(p); break;
    case OP_SEQUENCE_ATTENTION: sequenceAttention(p); break;
    case OP_ATTENTION_GRADIENT: attentionGradient(p); break;
    case OP_CROSS_ENTROPY: crossEntropy(p); break;
    case OP_DISTILLATION: distillation(p); break;
    case OP_L1_GRADIENT: l1Gradient(p); break;
    case OP_BIAS_GRADIENT: biasGradient(p); break;
    case OP_EMBED_GRADIENT: embedGradient(p); break;
    case OP_NORM_INVERSES: normInverses(p); break;
    case OP_NORM_WEIGHT_GRADIENT: normWeightGradient(p); break;
    case OP_NORM_INPUT_GRADIENT: normInputGradient(p); break;
    case OP_GLU_GRADIENT: gluGradient(p); break;
    case OP_SQUARE_SUMS: squareSums(p); break;
    case OP_ADAMW: adamW(p); break;
    default: unreachable();
  }
}
