import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Plugin } from "vite";

/** The committed file that keeps dist in the repository, so that `go build` works without Node. */
export const placeholder = ".gitkeep";

/** Removes everything in dir except the placeholder. A missing dir is already clean. */
export async function emptyExceptPlaceholder(dir: string): Promise<void> {
  const entries = await readdir(dir).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return [];
    throw cause;
  });
  const stale = entries.filter((name) => name !== placeholder);
  await Promise.all(stale.map((name) => rm(join(dir, name), { recursive: true, force: true })));
}

/**
 * Empties the output directory once the bundle is ready to be written. Vite's own
 * emptyOutDir would also delete the placeholder, and git would show it as deleted.
 */
export function cleanOutput(): Plugin {
  let outDir = "";
  return {
    name: "llmhist:clean-output",
    apply: "build",
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
    },
    async generateBundle() {
      await emptyExceptPlaceholder(outDir);
    },
  };
}
