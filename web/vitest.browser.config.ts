import { defineConfig } from "vitest/config";

/** Browser journeys: one file at a time, each step bounded, against the built page. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
