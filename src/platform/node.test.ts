import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ResourceError } from "../errors.ts";
import { createFileSink, nodePlatform } from "./node.ts";
import type { ByteSource, Folder } from "./types.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "skim-node-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function openFile(name: string): Promise<ByteSource> {
  const opened = await nodePlatform().open(path.join(folder, name));
  if (!("file" in opened)) throw new Error("not a file");
  return opened.file;
}

async function openFolder(name: string): Promise<Folder> {
  const opened = await nodePlatform().open(path.join(folder, name));
  if (!("folder" in opened)) throw new Error("not a folder");
  return opened.folder;
}

describe("files", () => {
  it("are read from any offset straight into shared memory", async () => {
    await writeFile(path.join(folder, "ten"), "0123456789");
    const file = await openFile("ten");
    expect(file.size).toBe(10);
    const shared = new Uint8Array(new SharedArrayBuffer(8), 2, 4);
    await file.readInto(3, shared);
    expect(Buffer.from(shared).toString()).toBe("3456");
    await file.readInto(10, new Uint8Array(0));
    await file.close();
  });

  it("cannot be read beyond their end", async () => {
    await writeFile(path.join(folder, "ten"), "0123456789");
    const file = await openFile("ten");
    await expect(file.readInto(8, new Uint8Array(3))).rejects.toThrow(
      "cannot read 3 bytes at 8, expected a range inside 10 bytes",
    );
    await expect(file.readInto(-1, new Uint8Array(1))).rejects.toThrow(ResourceError);
    await file.close();
  });

  it("that shrink or grow after they were opened", async () => {
    const name = path.join(folder, "changing");
    await writeFile(name, "0123456789");
    const file = await openFile("changing");
    await appendFile(name, "abc");
    await file.readInto(0, new Uint8Array(10));
    await truncate(name, 4);
    await expect(file.readInto(0, new Uint8Array(10))).rejects.toThrow("ends at byte 4, expected 10 bytes");
    await file.close();
  });

  it("that do not exist or are neither file nor folder", async () => {
    await expect(openFile("absent")).rejects.toThrow(/absent: cannot be opened \(no such file or folder\)$/);
    await expect(nodePlatform().open("/dev/null")).rejects.toThrow(ResourceError);
  });
});

describe("folders", () => {
  it("list their files, links included, and open them by name only", async () => {
    await mkdir(path.join(folder, "model", "inner"), { recursive: true });
    await writeFile(path.join(folder, "model", "config.json"), "{}");
    await symlink("config.json", path.join(folder, "model", "link.json"));
    const model = await openFolder("model");
    expect((await model.list()).sort()).toEqual(["config.json", "link.json"]);
    const link = await model.open("link.json");
    expect(link.size).toBe(2);
    await link.close();
    for (const name of ["../ten", "inner/x", "..", "absent.json"]) {
      await expect(model.open(name)).rejects.toThrow(ResourceError);
    }
  });
});

describe("sinks", () => {
  it("show the file only when it is finished", async () => {
    const target = path.join(folder, "out.bin");
    const sink = await createFileSink(target);
    await sink.write(Buffer.from("abc"));
    await sink.write(new Uint8Array(0));
    await sink.write(Buffer.from("def"));
    expect((await readdir(folder)).includes("out.bin")).toBe(false);
    await sink.finish();
    expect(await readFile(target, "utf8")).toBe("abcdef");
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("leave an older file untouched and nothing behind when aborted, even twice", async () => {
    const target = path.join(folder, "kept.bin");
    await writeFile(target, "old");
    const sink = await createFileSink(target);
    await sink.write(Buffer.from("new"));
    await sink.abort();
    await sink.abort();
    expect(await readFile(target, "utf8")).toBe("old");
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("in a folder that does not exist", async () => {
    await expect(createFileSink(path.join(folder, "absent", "x"))).rejects.toThrow(ResourceError);
  });
});

it("describes the runtime and its memory", () => {
  const platform = nodePlatform();
  expect(platform.runtime).toMatch(/^node \d+\.\d+\.\d+ \w+ \w+$/);
  expect(platform.coreCount).toBeGreaterThanOrEqual(1);
  expect(platform.peakMemoryBytes()).toBeGreaterThan(20e6);
  expect(platform.peakMemoryBytes()).toBeLessThan(64e9);
});
