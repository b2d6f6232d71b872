import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { maxAnswerBytes, sender, type Fetch } from "./http.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** A network that never answers but honours its signal, as fetch does. */
const silence: Fetch = (_, init) =>
  new Promise((_resolve, reject) => {
    init.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });

describe("sender", () => {
  test("sends a GET without a body and returns status, headers and JSON", async () => {
    const network = vi.fn<Fetch>(async () => new Response('{"a":1}', { status: 503, headers: { "X-A": "b" } }));
    const outcome = await sender(network)({ path: "/readyz", timeoutMs: 1000 });
    expect(outcome).toMatchObject({ kind: "answer", status: 503, body: { a: 1 } });
    expect(outcome.kind === "answer" && outcome.headers.get("X-A")).toBe("b");
    const init = network.mock.calls[0]?.[1];
    expect([init?.method, init?.body]).toEqual([undefined, undefined]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("sends a body as JSON by POST", async () => {
    const network = vi.fn<Fetch>(async () => new Response("{}", { status: 201 }));
    await sender(network)({ path: "/image/generate", body: { prompt: "a" }, timeoutMs: 1000 });
    const init = network.mock.calls[0]?.[1];
    expect(init?.method).toBe("POST");
    expect(init?.body).toBe('{"prompt":"a"}');
    expect(new Headers(init?.headers).get("Content-Type")).toBe("application/json");
  });

  test.each([
    ["HTML from a proxy", "<html>Bad Gateway</html>"],
    ["JSON cut in the middle", '{"status":"rea'],
    ["nothing at all", ""],
  ])("calls %s garbled", async (_, body) => {
    const outcome = await sender(async () => new Response(body, { status: 502 }))({ path: "/", timeoutMs: 1000 });
    expect(outcome).toMatchObject({ kind: "garbled", status: 502 });
  });

  test("stops reading an answer that is too large", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536).fill(32));
      },
    });
    const outcome = await sender(async () => new Response(endless))({ path: "/", timeoutMs: 1000 });
    expect(outcome).toMatchObject({ kind: "garbled", status: 200 });
    expect(sent).toBeLessThanOrEqual(maxAnswerBytes + 4 * 65_536);
  });

  test("keeps a character that arrives in two parts", async () => {
    const bytes = new TextEncoder().encode('"é"');
    const parts = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes.slice(0, 2));
        controller.enqueue(bytes.slice(2));
        controller.close();
      },
    });
    const outcome = await sender(async () => new Response(parts))({ path: "/", timeoutMs: 1000 });
    expect(outcome).toMatchObject({ kind: "answer", body: "é" });
  });

  test("calls a refused connection unreachable", async () => {
    const refused: Fetch = () => Promise.reject(new TypeError("Failed to fetch"));
    expect(await sender(refused)({ path: "/", timeoutMs: 1000 })).toEqual({ kind: "unreachable" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("calls a body that breaks off unreachable", async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new TypeError("network error")) });
    const outcome = await sender(async () => new Response(broken))({ path: "/", timeoutMs: 1000 });
    expect(outcome).toEqual({ kind: "unreachable" });
  });

  test("gives up at the deadline and says how long it was", async () => {
    const pending = sender(silence)({ path: "/", timeoutMs: 8000 });
    await vi.advanceTimersByTimeAsync(7999);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await pending).toEqual({ kind: "timeout", seconds: 8 });
  });

  test("ends when the caller aborts, and leaves no timer", async () => {
    const control = new AbortController();
    const pending = sender(silence)({ path: "/", timeoutMs: 8000, signal: control.signal });
    control.abort();
    expect(await pending).toEqual({ kind: "aborted" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does not call the network when already aborted", async () => {
    const network = vi.fn<Fetch>(silence);
    const outcome = await sender(network)({ path: "/", timeoutMs: 1000, signal: AbortSignal.abort() });
    expect(outcome).toEqual({ kind: "aborted" });
    expect(network).not.toHaveBeenCalled();
  });
});
