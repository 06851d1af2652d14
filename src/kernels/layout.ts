/**
 * Numbers that the kernels (AssemblyScript) and the executor (TypeScript) must agree on: the shape of packed
 * weights, the control block, and the tape's instructions. Plain constants without annotations, so that both
 * compilers take this one file.
 */

// Packed weights (linear/layout.as.ts describes the order inside a panel).
export const PANEL_ROWS = 8;
export const BLOCK_COLUMNS = 32;
export const Q8_BLOCK_BYTES = 272;
export const Q4_BLOCK_BYTES = 144;
/** Tokens that batched kernels process together. */
export const TILE_TOKENS = 4;
/** One q4 activation block of a token: 32 bytes, correction, scale. */
export const I8_BLOCK_BYTES = 40;
/** Scales in front of i16 activations. */
export const I16_HEADER_BYTES = 16;
/** Integer weights with a scale per row: 8 rows of 32 columns, 8 and 4 bits, without anything in between. */
export const T8_BLOCK_BYTES = 256;
export const T4_BLOCK_BYTES = 128;
/**
 * 32 columns of 16-bit codes as bytes, low and high halves of 8 columns in turns,
 * and a correction of each half.
 */
export const SPLIT_BLOCK_BYTES = 72;
/** The largest code whose halves are signed bytes: 127 * 256 + 127. */
export const LARGEST_SPLIT_CODE = 32639;
/**
 * In front of tender activations, four entries each: scales (f32), chunks (i32), offset corrections (i32).
 */
export const TENDER_HEADER_BYTES = 48;
/** Query heads that the attention kernel handles together: two runs (attention.as.ts). */
export const ATTENTION_RUN = 8;

/** Rows that matrices read by columns are split and padded to. */
export const COLUMN_UNIT_ROWS = 16;
/** The same with 4 bits: two blocks of 32 rows. */
export const Q4_COLUMN_UNIT_ROWS = 64;
/** Inputs of 10 columns for 512 blocks, which are made at a time. */
export const Q4_INPUT_BYTES = 10 * 512;
/** Scratch of a thread for a chunk of columns: addresses and 16-bit inputs; the sums follow. */
export const COLUMN_SCRATCH_BYTES = 1024;

// Kernel formats of weights.
export const WEIGHT_F32 = 0;
export const WEIGHT_F16 = 1;
export const WEIGHT_BF16 = 2;
export const WEIGHT_Q8 = 3;
export const WEIGHT_Q4 = 4;
export const WEIGHT_T8 = 5;
export const WEIGHT_T4 = 6;

// Kernel formats of activations in front of a linear op.
export const ACTIVATIONS_F32 = 0;
export const ACTIVATIONS_I16 = 1;
export const ACTIVATIONS_I8 = 2;
export const ACTIVATIONS_T16 = 3;
export const ACTIVATIONS_T8 = 4;
export const ACTIVATIONS_SPLIT = 5;

// Formats of keys and values.
export const CACHE_F16 = 0;
export const CACHE_F32 = 1;
export const CACHE_Q8 = 2;

// Gate activations.
export const GATE_SILU = 0;
export const GATE_GELU = 1;
export const GATE_GELU_TANH = 2;
export const GATE_RELU = 3;
export const GATE_FATRELU = 4;

// Byte offsets in the control block. Words that threads wait on have cache lines of their own.
/** Threads that have arrived at the barrier. */
export const CONTROL_ARRIVED = 0;
/** Count of barriers passed; threads wait for it to change. */
export const CONTROL_GENERATION = 64;
/** Threads asleep on the generation. */
export const CONTROL_SLEEPERS = 128;
/** Count of steps begun; helper threads wait for it to change. */
export const CONTROL_STEP = 192;
/** Helper threads asleep on the step count. */
export const CONTROL_IDLE = 256;
/** Set to 1 from outside to stop the running step at its next barrier. */
export const CONTROL_ABORT = 320;
/** Copy of the abort flag that the last thread at a barrier makes, so that all threads see the same. */
export const CONTROL_STOPPED = 384;
export const CONTROL_THREADS = 448;
export const CONTROL_TAPE = 452;
/** T and R of the step. */
export const CONTROL_TOKENS = 456;
export const CONTROL_OUTPUTS = 460;
/** Addresses of the step's arrays. */
export const CONTROL_TOKEN_IDS = 464;
export const CONTROL_POSITIONS = 468;
export const CONTROL_SLOTS = 472;
export const CONTROL_OUTPUT_ROWS = 476;
/** Set to 1 to end the helper threads. */
export const CONTROL_EXIT = 480;
/** Address of the rows' visible intervals, 0 for a step without. */
export const CONTROL_SPANS = 484;
export const CONTROL_BYTES = 512;

/**
 * Most intervals of positions that a row may see, and the bytes of a row: their count (0:
 * everything), then pairs.
 */
export const MOST_INTERVALS = 128;
export const SPAN_ROW_BYTES = 1088;

// Which rows an instruction runs over.
export const ROWS_TOKENS = 0;
export const ROWS_OUTPUTS = 1;

// How an instruction over whole rows is shared out.
/** Every thread does all rows: cheaper than a barrier when there is one token. */
export const SPLIT_NONE = 0;
/** Each thread takes a range of tiles of TILE_TOKENS rows. */
export const SPLIT_TILES = 1;

// Instructions: word 0 is the opcode, word 1 the number of words,
// the arguments follow as listed in tape.as.ts.
export const OP_END = 0;
export const OP_BARRIER = 1;
export const OP_EMBED = 2;
export const OP_RMS_NORM = 3;
export const OP_ACTIVATIONS = 4;
export const OP_LINEAR = 5;
export const OP_ROPE = 6;
export const OP_STORE_KEY_VALUE = 7;
export const OP_ATTENTION = 8;
export const OP_GLU = 9;
export const OP_ADD = 10;
export const OP_SCALE = 11;
export const OP_SELECT_OUTPUTS = 12;
export const OP_READ_MEMORY = 13;
export const OP_SELECT_COLUMNS = 30;
export const OP_LINEAR_COLUMNS = 31;
export const OP_COLUMN_ACTIVATIONS = 32;
export const OP_LINEAR_COLUMNS_TILE = 33;
export const OP_COLUMN_SUMS = 34;
export const OP_FETCH_COLUMNS = 35;
export const OP_LINEAR_ROWS = 36;
export const OP_LINEAR_ROWS_TILE = 37;
export const OP_CHOOSE_CACHED = 38;
export const OP_TENDER_ACTIVATIONS = 40;
export const OP_TENDER_LINEAR = 41;

// Rules of selection.
export const SELECT_TOP = 0;
export const SELECT_ABOVE = 1;
export const SELECT_GATES = 2;

// What a choice that prefers cached columns keeps (select-columns/choose-cached.as.ts), by byte offset.
// Setting the position to MOST_POSITION begins a new sequence.
/** Position of the last token, and tokens of the sequence so far. */
export const CHOICE_POSITION = 0;
export const CHOICE_TOKEN = 4;
export const CHOICE_RESIDENTS = 8;
export const CHOICE_RANDOM = 12;
/** i64 counts since the executor was made. */
export const CHOICE_CHOSEN = 16;
export const CHOICE_HITS = 24;
export const CHOICE_HEADER_BYTES = 64;
export const MOST_POSITION = 0x7fffffff;

// What such a cache evicts first.
export const POLICY_LRU = 0;
export const POLICY_LFU = 1;

// Byte offsets in the block through which the engine asks the readers for columns that are not in memory.
// Words that somebody waits on have cache lines of their own.
/** Count of requests; the coordinating reader waits for it to change. */
export const FETCH_REQUEST = 0;
/** Number of the last request answered; the engine waits for it to change. */
export const FETCH_RESPONSE = 64;
/** Which site the request is about, which columns it wants, and the address of its input. */
export const FETCH_SITE = 128;
export const FETCH_WHAT = 132;
export const FETCH_INPUT = 136;
/** Not FETCH_OK once a request has failed: what was read means nothing from then on. */
export const FETCH_STATUS = 192;
export const FETCH_BLOCK_BYTES = 256;

/** The columns that the site's rule chooses, or all of them in their order. */
export const FETCH_CHOSEN = 0;
export const FETCH_ALL = 1;

export const FETCH_OK = 0;
