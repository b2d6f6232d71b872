import { asFields, asList, asString } from "./json.ts";
import type { Send } from "./http.ts";

/** Who answers for one module: the default model, its provider, and how many more models there are. */
export interface Answerer {
  readonly model: string;
  readonly provider: string;
  readonly description: string;
  readonly others: number;
}

/** The image module's catalog; answerer is undefined when no model is configured. */
export interface ImageCatalog {
  readonly answerer: Answerer | undefined;
}

/** The speech module's catalog; voices counts the available voices of the answerer's model. */
export interface SpeechCatalog {
  readonly answerer: Answerer | undefined;
  readonly voices: number;
}

const catalogTimeoutMs = 8_000;

/** Reads GET /image/models. Resolves with undefined when it cannot be read. */
export async function findImageCatalog(send: Send): Promise<ImageCatalog | undefined> {
  const outcome = await send({ path: "/image/models", timeoutMs: catalogTimeoutMs });
  if (outcome.kind !== "answer" || outcome.status !== 200) return undefined;
  return readImageCatalog(outcome.body);
}

/** Reads GET /speech/voices. Resolves with undefined when it cannot be read. */
export async function findSpeechCatalog(send: Send): Promise<SpeechCatalog | undefined> {
  const outcome = await send({ path: "/speech/voices", timeoutMs: catalogTimeoutMs });
  if (outcome.kind !== "answer" || outcome.status !== 200) return undefined;
  return readSpeechCatalog(outcome.body);
}

/** Understands {"models": […]}; undefined when body is something else. The default model answers, else the first. */
export function readImageCatalog(body: unknown): ImageCatalog | undefined {
  const models = asFields(body)?.["models"];
  if (!Array.isArray(models)) return undefined;
  const list = asList(models);
  const chosen = list.find((model) => model["default"] === true) ?? list[0];
  if (!chosen) return { answerer: undefined };
  return {
    answerer: {
      model: asString(chosen["id"]),
      provider: asString(chosen["provider"]),
      description: asString(chosen["description"]),
      others: list.length - 1,
    },
  };
}

/**
 * Understands {"voices": […]}; undefined when body is something else. The model of the first
 * available voice answers; without an available voice, that of the first one, with 0 voices.
 */
export function readSpeechCatalog(body: unknown): SpeechCatalog | undefined {
  const voices = asFields(body)?.["voices"];
  if (!Array.isArray(voices)) return undefined;
  const list = asList(voices);
  const available = list.filter((voice) => voice["available"] !== false);
  const chosen = available[0] ?? list[0];
  if (!chosen) return { answerer: undefined, voices: 0 };
  const model = asString(chosen["model"]);
  const models = new Set(available.map((voice) => asString(voice["model"])));
  return {
    answerer: {
      model,
      provider: asString(chosen["provider"]),
      description: "",
      others: Math.max(0, models.size - 1),
    },
    voices: available.filter((voice) => voice["model"] === model).length,
  };
}
