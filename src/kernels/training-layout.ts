/**
 * Numbers that the training kernels and the training executor agree on, beside those of layout.ts. Plain
 * constants without annotations, so that both compilers take this one file.
 */

/** Steps of the reduction that stay in the first-level cache together. */
export const REDUCTION_BLOCK = 256;
/** Rows that a thread packs at a time, a multiple of 12: 96 x 256 floats stay in the second-level cache. */
export const ROW_BLOCK = 96;
/** Queries that the attention gradient handles together. */
export const QUERY_BLOCK = 64;
/** Values per partial sum of the gradient norm. */
export const NORM_CHUNK = 4096;

// Where an extent comes from.
export const EXTENT_TOKENS = 0;
export const EXTENT_OUTPUTS = 1;
/** The number in the next word. */
export const EXTENT_FIXED = 2;

// Words of the scalar block, all f32 but the first.
export const SCALAR_SEQUENCES = 0;
export const SCALAR_TARGET_WEIGHT = 1;
export const SCALAR_TEACHER_WEIGHT = 2;
export const SCALAR_L1_WEIGHT = 3;
export const SCALAR_LEARNING_RATE = 4;
export const SCALAR_BETA1 = 5;
export const SCALAR_BETA2 = 6;
export const SCALAR_EPSILON = 7;
export const SCALAR_WEIGHT_DECAY = 8;
/** Reciprocals of 1 - beta^step. */
export const SCALAR_FIRST_CORRECTION = 9;
export const SCALAR_SECOND_CORRECTION = 10;
export const SCALAR_GRADIENT_SCALE = 11;
export const SCALAR_COUNT = 16;

// Instructions; the arguments follow as listed in tape/training.as.ts.
export const OP_PACK_COLUMNS = 64;
export const OP_MULTIPLY = 65;
export const OP_FILL_ROWS = 66;
export const OP_EMBED_ROWS = 67;
export const OP_NORM_ROWS = 68;
export const OP_GLU_ROWS = 69;
export const OP_ADD_ROWS = 70;
export const OP_SCALE_ROWS = 71;
export const OP_GATHER_ROWS = 72;
export const OP_ROTATE = 73;
export const OP_SEQUENCE_ATTENTION = 74;
export const OP_CROSS_ENTROPY = 75;
export const OP_DISTILLATION = 76;
export const OP_L1_GRADIENT = 77;
export const OP_BIAS_GRADIENT = 78;
export const OP_NORM_INVERSES = 79;
export const OP_NORM_INPUT_GRADIENT = 80;
export const OP_NORM_WEIGHT_GRADIENT = 81;
export const OP_ATTENTION_GRADIENT = 82;
export const OP_GLU_GRADIENT = 83;
export const OP_EMBED_GRADIENT = 84;
export const OP_SCATTER_ROWS = 85;
export const OP_SQUARE_SUMS = 86;
export const OP_ADAMW = 87;
export const OP_KEEP_COLUMNS = 88;
export const OP_ACTIVATE_ROWS = 89;
