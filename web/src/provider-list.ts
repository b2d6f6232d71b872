import type { Answerer, ImageCatalog, SpeechCatalog } from "./catalog.ts";
import { byId, create } from "./dom.ts";
import { text, textCount } from "./text.ts";

/** Shows who answers for images; undefined means that the catalog could not be read. */
export function renderImageProvider(catalog: ImageCatalog | undefined): void {
  const notes = catalog?.answerer?.description ? [catalog.answerer.description] : [];
  renderRow(byId("provider-image", HTMLElement), catalog, notes);
}

/** Shows who answers for speech and with how many voices; undefined means that it could not be read. */
export function renderSpeechProvider(catalog: SpeechCatalog | undefined): void {
  const voices = catalog?.voices ?? 0;
  const note = voices === 0 ? text("voicesSilent") : textCount(voices, "voiceOne", "voiceMany");
  renderRow(byId("provider-speech", HTMLElement), catalog, [note]);
}

function renderRow(
  row: HTMLElement,
  catalog: { readonly answerer: Answerer | undefined } | undefined,
  notes: readonly string[],
): void {
  const answerer = catalog?.answerer;
  if (!answerer) {
    row.replaceChildren(create("span", "muted", text(catalog ? "providerNone" : "providerUnknown")));
    return;
  }
  const facts = [text("providerBy", { provider: answerer.provider || text("unknown") }), ...notes];
  if (answerer.others > 0) facts.push(textCount(answerer.others, "modelMoreOne", "modelMoreMany"));
  row.replaceChildren(
    create("code", "model", answerer.model || text("unknown")),
    create("span", "muted", facts.join(" · ")),
  );
}
