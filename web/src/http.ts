/** What became of one request: an HTTP answer with its JSON, or the reason why there is none. */
export type Outcome =
  | { readonly kind: "answer"; readonly status: number; readonly headers: Headers; readonly body: unknown }
  /** An HTTP answer that is not JSON, or too large to be one of ours. */
  | { readonly kind: "garbled"; readonly status: number; readonly headers: Headers }
  /** No answer within the deadline; seconds is the deadline. */
  | { readonly kind: "timeout"; readonly seconds: number }
  /** The caller's own signal ended it. */
  | { readonly kind: "aborted" }
  /** The network failed before an answer was complete. */
  | { readonly kind: "unreachable" };

/** One request. A body is sent as JSON by POST; without one the request is a GET. */
export interface Request {
  readonly path: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The part of fetch this page uses, so that a test can stand in for the network. */
export type Fetch = (path: string, init: RequestInit) => Promise<Response>;

/** Sends a request and always resolves: every failure is an Outcome. */
export type Send = (request: Request) => Promise<Outcome>;

/** The largest answer read, in bytes. Every answer this page asks for is far smaller. */
export const maxAnswerBytes = 1 << 20;

/** A Send over fetch with a deadline that covers the body too, and a size limit. */
export function sender(fetchFrom: Fetch): Send {
  return async (request) => {
    const control = new AbortController();
    const forward = () => control.abort();
    if (request.signal?.aborted) return { kind: "aborted" };
    request.signal?.addEventListener("abort", forward, { once: true });
    const deadline = setTimeout(forward, request.timeoutMs);
    try {
      const response = await fetchFrom(request.path, requestInit(request, control.signal));
      return await readOutcome(response);
    } catch {
      if (request.signal?.aborted) return { kind: "aborted" };
      if (control.signal.aborted) return { kind: "timeout", seconds: Math.round(request.timeoutMs / 1000) };
      return { kind: "unreachable" };
    } finally {
      clearTimeout(deadline);
      request.signal?.removeEventListener("abort", forward);
    }
  };
}

function requestInit(request: Request, signal: AbortSignal): RequestInit {
  const init: RequestInit = {
    signal,
    cache: "no-store",
    credentials: "same-origin",
    headers: { Accept: "application/json, application/problem+json" },
  };
  if (request.body === undefined) return init;
  return {
    ...init,
    method: "POST",
    headers: { ...init.headers, "Content-Type": "application/json" },
    body: JSON.stringify(request.body),
  };
}

/** Network failures while reading reject; anything read that is not JSON is garbled. */
async function readOutcome(response: Response): Promise<Outcome> {
  const { status, headers } = response;
  const raw = await readLimited(response);
  if (raw === undefined) return { kind: "garbled", status, headers };
  try {
    return { kind: "answer", status, headers, body: JSON.parse(raw) as unknown };
  } catch {
    return { kind: "garbled", status, headers };
  }
}

/** The body as text, or undefined when it is larger than maxAnswerBytes. */
async function readLimited(response: Response): Promise<string | undefined> {
  if (!response.body) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let size = 0;
  let out = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return out + decoder.decode();
    size += value.byteLength;
    if (size > maxAnswerBytes) {
      await reader.cancel();
      return undefined;
    }
    out += decoder.decode(value, { stream: true });
  }
}
