import { asFields, asList, asString } from "./json.ts";
import type { Outcome, Send } from "./http.ts";

/** What the server says about itself in GET /readyz. */
export type ServerState = "ready" | "starting" | "draining" | "degraded";

/** One dependency as the server sees it. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** The server's own report. */
export interface Report {
  readonly kind: "report";
  readonly state: ServerState;
  readonly version: string;
  readonly checks: readonly Check[];
}

/** How the server looks from this page: its report, or why there is none. */
export type Readiness =
  | Report
  | { readonly kind: "garbled"; readonly status: number }
  | { readonly kind: "unreachable" };

/** The deadline of one check; a server that is well answers in milliseconds. */
const checkTimeoutMs = 8_000;

const serverStates: ReadonlySet<string> = new Set<ServerState>(["ready", "starting", "draining", "degraded"]);

function isServerState(value: string): value is ServerState {
  return serverStates.has(value);
}

/** Asks GET /readyz. Resolves with undefined when signal ended the request. */
export async function findReadiness(send: Send, signal: AbortSignal): Promise<Readiness | undefined> {
  const outcome = await send({ path: "/readyz", timeoutMs: checkTimeoutMs, signal });
  return outcome.kind === "aborted" ? undefined : readReadiness(outcome);
}

/** Understands an answer of /readyz: 200 or 503, both with the same body. Anything else is not llmhist. */
export function readReadiness(outcome: Exclude<Outcome, { kind: "aborted" }>): Readiness {
  if (outcome.kind === "timeout" || outcome.kind === "unreachable") return { kind: "unreachable" };
  const { status } = outcome;
  if (outcome.kind === "garbled" || (status !== 200 && status !== 503)) return { kind: "garbled", status };
  const fields = asFields(outcome.body);
  const state = asString(fields?.["status"]);
  if (!isServerState(state)) return { kind: "garbled", status };
  return {
    kind: "report",
    // The status code is what load balancers act on: a 503 is never shown as ready.
    state: state === "ready" && status === 503 ? "degraded" : state,
    version: asString(fields?.["version"]),
    checks: asList(fields?.["checks"]).map(readCheck),
  };
}

function readCheck(fields: Readonly<Record<string, unknown>>): Check {
  return {
    name: asString(fields["name"]),
    ok: fields["status"] === "ok",
    detail: asString(fields["detail"]),
  };
}
