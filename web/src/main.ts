import { findImageCatalog, findSpeechCatalog } from "./catalog.ts";
import { sender } from "./http.ts";
import { generatePicture } from "./picture.ts";
import { Poller } from "./poller.ts";
import { renderImageProvider, renderSpeechProvider } from "./provider-list.ts";
import { enliven } from "./quick-start.ts";
import { findReadiness } from "./readiness.ts";
import { StatusCard } from "./status-card.ts";
import { TryCard } from "./try-card.ts";

const send = sender((path, init) => fetch(path, init));
const surroundings = { origin: location.origin, now: Date.now };

/** Whether the catalogs are to be read at the next ready answer: at first, and after any outage. */
let catalogsAreStale = true;

async function refreshCatalogs(): Promise<void> {
  const [image, speech] = await Promise.all([findImageCatalog(send), findSpeechCatalog(send)]);
  renderImageProvider(image);
  renderSpeechProvider(speech);
  catalogsAreStale = !image || !speech;
}

async function checkStatus(signal: AbortSignal): Promise<boolean> {
  const readiness = await findReadiness(send, signal);
  if (!readiness) return false;
  status.render(readiness, new Date());
  const isUp = readiness.kind === "report" && (readiness.state === "ready" || readiness.state === "degraded");
  if (!isUp) catalogsAreStale = true;
  if (isUp && catalogsAreStale) await refreshCatalogs();
  return readiness.kind === "report";
}

enliven(surroundings.origin);
new TryCard((request, signal) => generatePicture(send, request, { signal, surroundings })).start();
const status = new StatusCard(() => poller.checkNow());
const poller = new Poller({
  check: checkStatus,
  onScheduled: (delayMs) => status.renderNext(delayMs),
  visibility: document,
  intervalMs: 10_000,
  maxIntervalMs: 60_000,
});
poller.start();
