import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { emptyExceptPlaceholder, placeholder } from "./clean-output.ts";

let dir = "";

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "llmhist-web-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

test("removes an older build and keeps the placeholder", async () => {
  await mkdir(join(dir, "assets"));
  await writeFile(join(dir, "assets", "index-old.js"), "");
  await writeFile(join(dir, "index.html"), "");
  await writeFile(join(dir, placeholder), "");
  await emptyExceptPlaceholder(dir);
  expect(await readdir(dir)).toEqual([placeholder]);
});

test("a missing directory is already clean", async () => {
  await expect(emptyExceptPlaceholder(join(dir, "none"))).resolves.toBeUndefined();
});
