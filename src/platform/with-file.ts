/** Hands an open file, or a model in one, to `use` and closes it however that ends. */
export async function withFile<Opened extends { close(): Promise<void> }, Result>(
  file: Opened,
  use: (file: Opened) => Promise<Result>,
): Promise<Result> {
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
