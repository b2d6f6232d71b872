import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { steps } from "../src/commands.ts";

/** A curl that answers like the login route and otherwise repeats its arguments, one a line. */
const fakeCurl = `#!/bin/sh
case "$*" in
*/auth/login*) printf '%s' '{"accessToken":"tok.en-1","refreshToken":"r","expiresIn":900}' ;;
*) for word in "$@"; do printf '%s\\n' "$word"; done ;;
esac
`;

let bin = "";

beforeAll(() => {
  bin = mkdtempSync(join(tmpdir(), "llmhist-web-"));
  for (const [name, script] of [["curl", fakeCurl], ["llmhist", '#!/bin/sh\necho "$@"\n']] as const) {
    writeFileSync(join(bin, name), script);
    chmodSync(join(bin, name), 0o755);
  }
});

afterAll(() => rmSync(bin, { recursive: true }));

function run(commands: string[]): string[] {
  const script = commands.join("\n").replaceAll("{origin}", "http://127.0.0.1:1");
  const env = { PATH: `${bin}:${process.env["PATH"]}` };
  return execFileSync("/bin/sh", ["-euc", script], { encoding: "utf8", env, timeout: 10_000 }).split("\n");
}

test("the quick start runs in a plain shell from first to last, carrying the token along", () => {
  const words = run(steps.map((step) => step.command));
  expect(words[0]).toBe("admin create --email you@example.com");
  const addresses = words.filter((word) => word.startsWith("http://127.0.0.1:1/"));
  expect(addresses.map((address) => new URL(address).pathname)).toEqual([
    "/auth/register", "/image/generate", "/speech/generate", "/chat", "/analytics/user/me",
  ]);
  expect(words.filter((word) => word === "Authorization: Bearer tok.en-1")).toHaveLength(4);
});

test("every body is JSON", () => {
  const bodies = run(steps.map((step) => step.command)).filter((word) => word.startsWith("{"));
  expect(bodies.map((body) => Object.keys(JSON.parse(body) as object)[0])).toEqual(["email", "prompt", "text", "message"]);
});
