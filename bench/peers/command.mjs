// What both commands share at their edge: whole numbers from flags, and failures as one line.

/**
 * Runs a command; an error becomes one line on stderr and exit code 1.
 * @param {string} name
 * @param {() => Promise<void>} work
 */
export async function runCommand(name, work) {
  try {
    await work();
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message.trim() : String(error)}`);
    process.exitCode = 1;
  }
}

/**
 * @param {string} flag for the message
 * @param {string} text
 * @param {number} [least]
 */
export function readCount(flag, text, least = 1) {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && Number.isSafeInteger(value))) {
    throw new Error(`${flag}: expected a whole number of at least ${least}, got "${text}"`);
  }
  return value;
}
