import { describe, expect, test } from "vitest";
import { describeTrouble, readRetryAfter } from "./problem.ts";

const now = Date.parse("2026-01-01T00:00:00Z");

function problem(status: number, body: unknown, headers: Record<string, string> = {}) {
  return describeTrouble({ kind: "answer", status, headers: new Headers(headers), body }, now);
}

describe("describeTrouble", () => {
  test("reads title, detail, fields and request id", () => {
    const body = {
      title: "Invalid request",
      detail: "Two fields are wrong.",
      request_id: "r-1",
      errors: [{ field: "prompt", code: "required", message: "is required" }, { field: "size", code: "too_large" }, { message: "odd" }, {}, 7],
    };
    expect(problem(422, body)).toEqual({
      title: "Invalid request",
      detail: "Two fields are wrong.",
      fields: ["prompt: is required", "size: too_large", "odd"],
      requestId: "r-1",
    });
  });

  test.each([
    [1, "Too many requests for now. Try again in 1 second."],
    [42, "Too many requests for now. Try again in 42 seconds."],
  ])("a 429 with Retry-After %i says when to come back", (seconds, title) => {
    const trouble = problem(429, { title: "Too Many Requests", request_id: "r-2" }, { "Retry-After": String(seconds) });
    expect(trouble).toEqual({ title, detail: "", fields: [], requestId: "r-2" });
  });

  test("a 429 that is no JSON is still a 429", () => {
    const headers = new Headers({ "Retry-After": "5" });
    expect(describeTrouble({ kind: "garbled", status: 429, headers }, now).title).toContain("5 seconds");
  });

  test("a 429 without a time says later", () => {
    expect(problem(429, {}).title).toBe("Too many requests for now. Try again a little later.");
  });

  test.each([[null], [[]], [{}], ["no"], [{ title: 4, detail: {} }]])("a 500 with %j gave no reason", (body) => {
    expect(problem(500, body).title).toBe("The server refused with HTTP 500 and gave no reason.");
  });

  test("a detail alone is the title, and is not said twice", () => {
    expect(problem(400, { detail: "Broken." })).toMatchObject({ title: "Broken.", detail: "" });
    expect(problem(400, { title: "Broken.", detail: "Broken." })).toMatchObject({ title: "Broken.", detail: "" });
  });

  test("tells no answer, a late one and an odd one apart", () => {
    const odd = { kind: "garbled", status: 200, headers: new Headers() } as const;
    expect(describeTrouble({ kind: "unreachable" }, now).title).toContain("could not be reached");
    expect(describeTrouble({ kind: "timeout", seconds: 180 }, now).title).toContain("within 180 seconds");
    expect(describeTrouble(odd, now).title).toContain("does not understand (HTTP 200)");
    expect(describeTrouble({ ...odd, status: 502 }, now).title).toContain("HTTP 502 and gave no reason");
  });
});

test.each<[string | null, number | undefined]>([
  ["30", 30],
  [" 30 ", 30],
  ["0", 1],
  ["Thu, 01 Jan 2026 00:01:30 GMT", 90],
  ["Thu, 01 Jan 2020 00:00:00 GMT", 1],
  ["86401", undefined],
  ["999999999999", undefined],
  ["-5", 1],
  ["soon", undefined],
  ["", undefined],
  [null, undefined],
])("Retry-After %j is %j seconds", (header, seconds) => {
  expect(readRetryAfter(header, now)).toBe(seconds);
});
