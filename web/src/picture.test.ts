import { describe, expect, test, vi } from "vitest";
import type { Outcome, Send } from "./http.ts";
import { generatePicture, readGeneration } from "./picture.ts";

const origin = "http://localhost:8080";
const image = {
  id: "0199",
  prompt: "a cat",
  size: "512x512",
  status: "completed",
  download_url: "http://127.0.0.1:8080/files/a.png?signature=s",
  metadata: { processing_time_ms: 84, provider: "local", model: "local/canvas" },
};

function generate(outcome: Outcome) {
  const send = vi.fn<Send>(async () => outcome);
  const options = { signal: new AbortController().signal, surroundings: { origin, now: () => 0 } };
  return { send, result: generatePicture(send, { prompt: "a cat", size: "512x512" }, options) };
}

describe("generatePicture", () => {
  test("sends prompt and size only, because unknown fields are refused", async () => {
    const { send, result } = generate({ kind: "answer", status: 201, headers: new Headers(), body: image });
    expect(await result).toMatchObject({ kind: "picture", model: "local/canvas" });
    expect(send.mock.calls[0]?.[0]).toMatchObject({ path: "/image/generate", body: { prompt: "a cat", size: "512x512" } });
  });

  test("passes an abort on without calling it trouble", async () => {
    expect(await generate({ kind: "aborted" }).result).toEqual({ kind: "aborted" });
  });

  test("turns a refusal into trouble", async () => {
    const headers = new Headers({ "Retry-After": "9" });
    const result = await generate({ kind: "answer", status: 429, headers, body: {} }).result;
    expect(result).toMatchObject({ kind: "trouble", trouble: { title: expect.stringContaining("9 seconds") } });
  });

  test("turns a dead network into trouble", async () => {
    expect(await generate({ kind: "unreachable" }).result).toMatchObject({ kind: "trouble" });
  });
});

describe("readGeneration", () => {
  test("keeps the server's link and loads the same path from this origin", () => {
    expect(readGeneration(image, 201, origin)).toEqual({
      kind: "picture",
      prompt: "a cat",
      size: "512x512",
      model: "local/canvas",
      provider: "local",
      processingMs: 84,
      link: "http://127.0.0.1:8080/files/a.png?signature=s",
      source: "http://localhost:8080/files/a.png?signature=s",
    });
  });

  test("a path that looks like a host stays on this origin", () => {
    const picture = readGeneration({ ...image, download_url: "http://a.example//evil.example/x.png" }, 201, origin);
    expect(picture.kind === "picture" && new URL(picture.source).origin).toBe(origin);
  });

  test.each(["javascript:alert(1)", "data:text/html,x", "", 7, null, "http://[broken"])("refuses %j as a link", (download_url) => {
    const result = readGeneration({ ...image, download_url }, 201, origin);
    expect(result).toMatchObject({ kind: "trouble", trouble: { title: expect.stringContaining("does not understand") } });
  });

  test.each([[null], [[]], ["x"], [{}]])("calls %j not understood", (body) => {
    expect(readGeneration(body, 201, origin)).toMatchObject({ kind: "trouble" });
  });

  test("leaves missing metadata empty", () => {
    const picture = readGeneration({ ...image, metadata: undefined }, 201, origin);
    expect(picture).toMatchObject({ model: "", provider: "", processingMs: undefined });
  });

  test("tells why a failed one failed", () => {
    const body = { ...image, status: "failed", error: { code: "provider_unavailable", detail: "Nobody answered." } };
    expect(readGeneration(body, 201, origin)).toMatchObject({ kind: "trouble", trouble: { detail: "Nobody answered." } });
  });

  test.each(["queued", "processing"])("says that a %s one is pending", (status) => {
    expect(readGeneration({ ...image, status }, 202, origin)).toEqual({ kind: "pending", id: "0199" });
  });
});
