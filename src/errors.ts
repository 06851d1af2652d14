/**
 * Every error skim throws on purpose. One base class carries a machine-readable `code`; the message is one
 * line that says what was wrong, what was expected and what to do. Anything else that escapes is a bug.
 */

export class SkimError extends Error {
  /** Stable identifier, e.g. `format`, for programs that branch on the kind of failure. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(oneLine(message), options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** Longest message: file names and lists fit, a name of 64 KB out of a damaged file does not. */
const MAX_MESSAGE_LENGTH = 2000;

/**
 * Messages quote names from files nobody has vetted: control characters must reach neither terminal nor log.
 */
function oneLine(message: string): string {
  const escaped = message.replaceAll(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return escaped.length <= MAX_MESSAGE_LENGTH ? escaped : `${escaped.slice(0, MAX_MESSAGE_LENGTH)}...`;
}

/** A file is damaged or lies about itself: bad magic, counts, offsets, shapes, JSON. */
export class FormatError extends SkimError {
  constructor(message: string, options?: ErrorOptions) {
    super("format", message, options);
  }
}

/** A well-formed request for something skim does not do: unknown architecture, tensor type, tokenizer. */
export class UnsupportedError extends SkimError {
  constructor(message: string, options?: ErrorOptions) {
    super("unsupported", message, options);
  }
}

/** The caller's options or flags are wrong. The CLI exits with 2 on these, with 1 on all others. */
export class OptionError extends SkimError {
  constructor(message: string, options?: ErrorOptions) {
    super("option", message, options);
  }
}

/** The prompt, or the prompt plus what was generated, does not fit the context. */
export class ContextOverflowError extends SkimError {
  readonly requiredTokens: number;
  readonly contextLength: number;

  constructor(requiredTokens: number, contextLength: number, advice: string) {
    super(
      "context_overflow",
      `context: ${requiredTokens} tokens do not fit a context of ${contextLength} - ${advice}`,
    );
    this.requiredTokens = requiredTokens;
    this.contextLength = contextLength;
  }
}

/** The machine said no: file not found, out of memory, disk full, worker died. */
export class ResourceError extends SkimError {
  constructor(message: string, options?: ErrorOptions) {
    super("resource", message, options);
  }
}

/** A computation produced NaN or infinity where the method forbids it. */
export class NumericError extends SkimError {
  constructor(message: string, options?: ErrorOptions) {
    super("numeric", message, options);
  }
}
