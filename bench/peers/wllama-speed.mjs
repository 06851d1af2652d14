// Child process: times wllama (llama.cpp compiled to WebAssembly) in a headless Chromium on the given tests.
// wllama takes prompts as text only, so each prompt is a text of about as many tokens; which tokens they are does not
// matter for speed. Times are those that its server code reports for the prompt and for the decoded tokens.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";
import { answerJob } from "./child-process.mjs";
import { importSkim } from "./skim-build.mjs";

const WORDS = "one two three four five six seven eight nine ten ";

answerJob(
  async ({ model, chromium: executablePath, contextLength, batchSize, threads, keyValueFormat, ...plan }) => {
    const countTokens = await openTokenCounter(model);
    const tests = [plan.warmUp, ...plan.tests].map(({ name, prompt, decode }) => ({
      name,
      text: findText(prompt.length, countTokens),
      decode,
    }));
    const server = await serveFiles(model);
    const browser = await chromium.launch({
      executablePath,
      // Chromium's sandbox cannot be set up by root, which is what containers run as.
      args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      // Words may be merged in one model and split in another: leave room beyond the counted tokens.
      const options = { contextLength: contextLength + 256, batchSize, threads, keyValueFormat };
      const { measured, ...result } = await page.evaluate(measureInPage, { tests, options });
      const [, ...timed] = measured;
      return { ...result, browser: `Chromium ${browser.version()}`, tests: timed };
    } finally {
      await browser.close();
      server.close();
    }
  },
);

/** Counts a text's tokens with the model's own vocabulary, BOS included. */
async function openTokenCounter(model) {
  const { openModelFile } = await importSkim("formats/open-model-file.js");
  const { loadTokenizer } = await importSkim("tokenizer/load-tokenizer.js");
  const { nodePlatform } = await importSkim("platform/node.js");
  const file = await openModelFile(nodePlatform(), model);
  const tokenizer = await loadTokenizer(file);
  await file.close();
  return (text) => tokenizer.encode(text, { addSpecial: true, parseSpecial: false }).length;
}

/** A text whose number of tokens is the nearest that a prefix of the repeated words has; at least one character. */
function findText(tokens, countTokens) {
  const words = WORDS.repeat(Math.ceil(tokens / 5));
  let [low, high] = [1, words.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (countTokens(words.slice(0, middle)) < tokens) low = middle + 1;
    else high = middle;
  }
  return words.slice(0, low);
}

/** Serves the page, wllama and the model with the headers that shared memory needs; port chosen by the system. */
function serveFiles(model) {
  const script = createRequire(import.meta.url).resolve("@wllama/wllama/esm/index.js");
  const folder = path.dirname(script);
  const files = new Map([
    ["/wllama.js", [path.join(folder, "index.js"), "text/javascript"]],
    ["/wllama.wasm", [path.join(folder, "wasm", "wllama.wasm"), "application/wasm"]],
    ["/model.gguf", [model, "application/octet-stream"]],
  ]);
  const server = createServer((request, response) => {
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    const found = files.get(request.url);
    if (found === undefined) {
      response.statusCode = request.url === "/" ? 200 : 404;
      response.setHeader("Content-Type", "text/html");
      response.end("<!doctype html><title>wllama</title>");
      return;
    }
    const [file, type] = found;
    response.setHeader("Content-Type", type);
    response.setHeader("Content-Length", statSync(file).size);
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

/** Runs inside the page; sees nothing of this module. */
async function measureInPage({ tests, options }) {
  const { Wllama } = await import("/wllama.js");
  const wllama = new Wllama(
    { default: new URL("/wllama.wasm", document.baseURI).href },
    { suppressNativeLog: true },
  );
  const blob = await (await fetch("/model.gguf")).blob();
  await wllama.loadModel([blob], {
    n_ctx: options.contextLength,
    n_batch: options.batchSize,
    n_threads: options.threads,
    cache_type_k: options.keyValueFormat,
    cache_type_v: options.keyValueFormat,
    flash_attn: false,
    n_gpu_layers: 0,
    n_parallel: 1,
  });
  if (wllama.getNumThreads() !== options.threads) {
    throw new Error(`wllama runs ${wllama.getNumThreads()} threads, expected ${options.threads}`);
  }
  const measured = [];
  for (const { name, text, decode } of tests) {
    const { timings } = await wllama.createCompletion({
      prompt: text,
      max_tokens: decode + 1,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: false,
    });
    if (timings.cache_n > 0 || timings.predicted_n !== decode + 1) {
      throw new Error(`wllama: ${name} reused ${timings.cache_n} and decoded ${timings.predicted_n} tokens`);
    }
    measured.push({
      name,
      promptTokens: timings.prompt_n,
      prefillMs: timings.prompt_ms,
      decodeMs: timings.predicted_ms,
    });
  }
  return { measured, release: Wllama.getLibllamaVersion() };
}
