import { asFields, asList, asString } from "./json.ts";
import type { Outcome } from "./http.ts";
import { text, textCount } from "./text.ts";

/** An error in plain words: what happened, why, and the fields it is about. */
export interface Trouble {
  readonly title: string;
  readonly detail: string;
  readonly fields: readonly string[];
  readonly requestId: string;
}

/** A retry time beyond this (a day, in seconds) is not shown as a number: nobody waits for it. */
const maxRetrySeconds = 86_400;

/** A trouble that is one sentence. */
export function plainTrouble(title: string): Trouble {
  return { title, detail: "", fields: [], requestId: "" };
}

/** Describes an outcome that is not a success. Aborting is the reader's own act, so it has no trouble. */
export function describeTrouble(outcome: Exclude<Outcome, { kind: "aborted" }>, now: number): Trouble {
  switch (outcome.kind) {
    case "unreachable":
      return plainTrouble(text("errorUnreachable"));
    case "timeout":
      return plainTrouble(text("errorTimeout", { seconds: outcome.seconds }));
    case "garbled":
      return outcome.status === 429
        ? plainTrouble(retryText(outcome.headers, now))
        : plainTrouble(text(outcome.status >= 400 ? "errorUnexplained" : "errorGarbled", { status: outcome.status }));
    case "answer":
      return describeProblem(outcome.status, outcome.headers, { body: outcome.body, now });
  }
}

/** Reads problem+json (RFC 9457). Unknown shapes fall back to the status code. */
function describeProblem(status: number, headers: Headers, { body, now }: { body: unknown; now: number }): Trouble {
  const problem = asFields(body);
  const requestId = asString(problem?.["request_id"]);
  // The limiter's own words are for programs; the time to wait is what a person needs.
  if (status === 429) return { ...plainTrouble(retryText(headers, now)), requestId };
  const title = asString(problem?.["title"]);
  const detail = asString(problem?.["detail"]);
  if (!title && !detail) return { ...plainTrouble(text("errorUnexplained", { status })), requestId };
  return {
    title: title || detail,
    detail: title && detail !== title ? detail : "",
    fields: asList(problem?.["errors"]).map(describeField).filter(Boolean),
    requestId,
  };
}

function describeField(error: Readonly<Record<string, unknown>>): string {
  const words = asString(error["message"]) || asString(error["code"]);
  const field = asString(error["field"]);
  return field && words ? `${field}: ${words}` : field || words;
}

function retryText(headers: Headers, now: number): string {
  const seconds = readRetryAfter(headers.get("Retry-After"), now);
  if (seconds === undefined) return text("errorRetryLater");
  return textCount(seconds, "errorRetryOne", "errorRetryMany");
}

/**
 * Seconds to wait from a Retry-After header: a number of seconds or an HTTP date (RFC 9110, 10.2.3),
 * at least 1. Undefined when it is missing, malformed or longer than a day. now is in milliseconds.
 */
export function readRetryAfter(header: string | null, now: number): number | undefined {
  if (!header) return undefined;
  const value = header.trim();
  const isSeconds = /^\d{1,9}$/.test(value);
  const seconds = isSeconds ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000);
  if (!Number.isFinite(seconds) || seconds > maxRetrySeconds) return undefined;
  return Math.max(1, seconds);
}
