import { asFields, asNumber, asString } from "./json.ts";
import type { Send } from "./http.ts";
import { describeTrouble, plainTrouble, type Trouble } from "./problem.ts";
import { text } from "./text.ts";

/** A generated picture and where it came from. */
export interface Picture {
  readonly kind: "picture";
  readonly prompt: string;
  readonly size: string;
  readonly model: string;
  readonly provider: string;
  readonly processingMs: number | undefined;
  /** The address the server gave, absolute. */
  readonly link: string;
  /** The same picture at this page's own origin, which is all a strict policy lets it load. */
  readonly source: string;
}

/** What became of a generation. */
export type Generation =
  | Picture
  | { readonly kind: "pending"; readonly id: string }
  | { readonly kind: "trouble"; readonly trouble: Trouble }
  | { readonly kind: "aborted" };

/** What to generate. size is "WIDTHxHEIGHT" in pixels. */
export interface PictureRequest {
  readonly prompt: string;
  readonly size: string;
}

/** Where the page is and what time it is (milliseconds), given in so that tests can choose. */
export interface Surroundings {
  readonly origin: string;
  readonly now: () => number;
}

/** A remote provider may take a minute or more; the server gives up on it before this. */
const generateTimeoutMs = 180_000;

/** Sends POST /image/generate without an account. Never rejects. */
export async function generatePicture(
  send: Send,
  request: PictureRequest,
  { signal, surroundings }: { signal: AbortSignal; surroundings: Surroundings },
): Promise<Generation> {
  const body = { prompt: request.prompt, size: request.size };
  const outcome = await send({ path: "/image/generate", body, timeoutMs: generateTimeoutMs, signal });
  if (outcome.kind === "aborted") return outcome;
  if (outcome.kind === "answer" && outcome.status >= 200 && outcome.status < 300) {
    return readGeneration(outcome.body, outcome.status, surroundings.origin);
  }
  return { kind: "trouble", trouble: describeTrouble(outcome, surroundings.now()) };
}

/** Understands the image object of a successful answer. */
export function readGeneration(body: unknown, status: number, origin: string): Generation {
  const fields = asFields(body);
  const state = asString(fields?.["status"]);
  if (fields && state === "failed") return { kind: "trouble", trouble: failedTrouble(fields) };
  if (fields && (state === "queued" || state === "processing")) return { kind: "pending", id: asString(fields["id"]) };
  const link = readLink(asString(fields?.["download_url"]), origin);
  if (!fields || !link) return { kind: "trouble", trouble: plainTrouble(text("errorGarbled", { status })) };
  const metadata = asFields(fields["metadata"]);
  return {
    kind: "picture",
    prompt: asString(fields["prompt"]),
    size: asString(fields["size"]),
    model: asString(metadata?.["model"]),
    provider: asString(metadata?.["provider"]),
    processingMs: asNumber(metadata?.["processing_time_ms"]),
    link: link.href,
    // Links are made from PUBLIC_URL, which may name this same server differently than the address
    // bar does (localhost, 127.0.0.1, a tunnel). Path and signature are the same either way.
    source: origin + link.pathname + link.search,
  };
}

function failedTrouble(fields: Readonly<Record<string, unknown>>): Trouble {
  const detail = asString(asFields(fields["error"])?.["detail"]);
  return { title: text("errorGenerationFailed"), detail, fields: [], requestId: "" };
}

/** An http(s) address, absolute or relative to origin; undefined for anything else, "javascript:" above all. */
function readLink(value: string, origin: string): URL | undefined {
  if (!value) return undefined;
  try {
    const link = new URL(value, origin);
    return link.protocol === "http:" || link.protocol === "https:" ? link : undefined;
  } catch {
    return undefined;
  }
}
