import { defineConfig } from "vitest/config";
import { cleanOutput } from "./vite/clean-output.ts";
import { pageText } from "./vite/page-text.ts";

/** Where `npm run dev` finds a running llmhist to forward API calls to. */
const api = process.env["LLMHIST_URL"] ?? "http://127.0.0.1:8080";

/** Every API prefix of the one origin; the page itself and its assets come from Vite. */
const apiPaths = [
  "/auth", "/users", "/admin", "/image", "/speech", "/chat", "/analytics", "/v1",
  "/healthz", "/readyz", "/openapi.json", "/docs", "/.well-known",
];

export default defineConfig({
  plugins: [pageText(), cleanOutput()],
  server: { proxy: Object.fromEntries(apiPaths.map((path) => [path, api])) },
  build: {
    target: "es2022",
    // The cleanOutput plugin empties dist but keeps the committed placeholder.
    emptyOutDir: false,
    // Assets stay files, so that no data: URL ends up in the page or the styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: { include: ["src/**/*.test.ts", "vite/**/*.test.ts"], restoreMocks: true },
});
