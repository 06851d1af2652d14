// Everything the compiled module exports: the tape and the packing of weights.
export {
  column_maxima, finish_column_scales, pack_columns_16, pack_columns_32, pack_columns_q4, pack_columns_q8,
} from "./linear-columns/pack-columns.as";
export { copy_rows } from "./linear-rows/linear-rows.as";
export { pack_16, pack_32, pack_q4, pack_q8 } from "./linear/pack.as";
export { pack_t4, pack_t4_ordered, pack_t8 } from "./tender-linear/pack.as";
export { attach, serve, step } from "./tape/tape.as";
