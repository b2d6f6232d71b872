import { describe, expect, test } from "vitest";
import type { Outcome } from "./http.ts";
import { findReadiness, readReadiness } from "./readiness.ts";

function answer(status: number, body: unknown): Extract<Outcome, { kind: "answer" }> {
  return { kind: "answer", status, headers: new Headers(), body };
}

describe("readReadiness", () => {
  test("reads state, version and every check", () => {
    const body = {
      status: "ready",
      version: "1.0",
      checks: [
        { name: "database", status: "ok", detail: "" },
        { name: "objects", status: "failed", detail: "disk full" },
      ],
    };
    expect(readReadiness(answer(200, body))).toEqual({
      kind: "report",
      state: "ready",
      version: "1.0",
      checks: [
        { name: "database", ok: true, detail: "" },
        { name: "objects", ok: false, detail: "disk full" },
      ],
    });
  });

  test.each(["starting", "draining", "degraded"])("reads %s from a 503", (state) => {
    expect(readReadiness(answer(503, { status: state, checks: [] }))).toMatchObject({ kind: "report", state });
  });

  test("never shows a 503 as ready", () => {
    expect(readReadiness(answer(503, { status: "ready", checks: [] }))).toMatchObject({ state: "degraded" });
  });

  test.each<[string, Outcome, number]>([
    ["another status", answer(404, { status: "ready" }), 404],
    ["an unknown state", answer(200, { status: "fine" }), 200],
    ["a state that is no string", answer(200, { status: ["ready"] }), 200],
    ["null", answer(200, null), 200],
    ["a list", answer(200, [1]), 200],
    ["a page of a proxy", { kind: "garbled", status: 502, headers: new Headers() }, 502],
  ])("calls %s garbled", (_, outcome, status) => {
    expect(outcome.kind !== "aborted" && readReadiness(outcome)).toEqual({ kind: "garbled", status });
  });

  test.each<Outcome>([{ kind: "unreachable" }, { kind: "timeout", seconds: 8 }])("calls $kind unreachable", (outcome) => {
    expect(outcome.kind !== "aborted" && readReadiness(outcome)).toEqual({ kind: "unreachable" });
  });

  test("survives checks of the wrong shape", () => {
    const body = { status: "ready", version: 3, checks: [null, "x", { name: 1, status: true }] };
    expect(readReadiness(answer(200, body))).toMatchObject({ version: "", checks: [{ name: "", ok: false, detail: "" }] });
    expect(readReadiness(answer(200, { status: "ready", checks: {} }))).toMatchObject({ checks: [] });
  });
});

test("an aborted check says nothing about the server", async () => {
  const readiness = await findReadiness(async () => ({ kind: "aborted" }), new AbortController().signal);
  expect(readiness).toBeUndefined();
});
