import { byId, create, setText } from "./dom.ts";
import type { Generation, Picture, PictureRequest } from "./picture.ts";
import { plainTrouble, type Trouble } from "./problem.ts";
import { text } from "./text.ts";

/** Generates one picture; ends early when signal aborts. Must not reject. */
export type Generate = (request: PictureRequest, signal: AbortSignal) => Promise<Generation>;

/** The try-it card: a form, one generation at a time, and its picture or its error. */
export class TryCard {
  readonly #generate: Generate;
  readonly #form = byId("try-form", HTMLFormElement);
  readonly #prompt = byId("try-prompt", HTMLTextAreaElement);
  readonly #size = byId("try-size", HTMLSelectElement);
  readonly #submit = byId("try-submit", HTMLButtonElement);
  readonly #cancel = byId("try-cancel", HTMLButtonElement);
  readonly #message = byId("try-message", HTMLElement);
  readonly #trouble = byId("try-trouble", HTMLElement);
  readonly #frame = byId("try-frame", HTMLElement);
  readonly #labels = byId("try-labels", HTMLElement);
  #running: AbortController | undefined;

  constructor(generate: Generate) {
    this.#generate = generate;
  }

  /** Shows the form and takes submissions from now on. Call it once. */
  start(): void {
    this.#form.hidden = false;
    this.#frame.hidden = false;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#run();
    });
    this.#cancel.addEventListener("click", () => this.#running?.abort());
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    const prompt = this.#prompt.value.trim();
    this.#clear();
    if (!prompt) {
      this.#showTrouble(plainTrouble(text("tryPromptMissing")));
      this.#prompt.setAttribute("aria-invalid", "true");
      this.#prompt.focus();
      return;
    }
    const control = new AbortController();
    this.#begin(control);
    const generation = await this.#generate({ prompt, size: this.#size.value }, control.signal);
    this.#end();
    this.#show(generation);
  }

  #begin(control: AbortController): void {
    const hadFocus = this.#form.contains(document.activeElement);
    this.#running = control;
    this.#setBusy(true);
    // What had the focus is disabled now; cancelling is the one thing left to do.
    if (hadFocus) this.#cancel.focus();
    setText(this.#submit, text("tryGenerating"));
    setText(this.#message, text("tryGenerating"));
  }

  #end(): void {
    const hadFocus = document.activeElement === this.#cancel;
    this.#running = undefined;
    this.#setBusy(false);
    setText(this.#submit, text("tryGenerate"));
    setText(this.#message, "");
    // The cancel button is gone now; the keyboard must not be left on nothing.
    if (hadFocus) this.#submit.focus();
  }

  #setBusy(busy: boolean): void {
    this.#submit.disabled = busy;
    this.#prompt.disabled = busy;
    this.#size.disabled = busy;
    this.#cancel.hidden = !busy;
    this.#form.setAttribute("aria-busy", String(busy));
    this.#frame.toggleAttribute("data-busy", busy);
  }

  #clear(): void {
    this.#prompt.removeAttribute("aria-invalid");
    this.#trouble.replaceChildren();
    this.#labels.replaceChildren();
    this.#frame.replaceChildren(create("p", "muted", text("tryEmptyFrame")));
    setText(this.#message, "");
  }

  #show(generation: Generation): void {
    switch (generation.kind) {
      case "picture":
        this.#showPicture(generation);
        return;
      case "pending":
        setText(this.#message, text("tryPending", { id: generation.id || text("unknown") }));
        return;
      case "trouble":
        this.#showTrouble(generation.trouble);
        return;
      case "aborted":
        setText(this.#message, text("tryCancelled"));
    }
  }

  #showPicture(picture: Picture): void {
    const image = create("img", "picture");
    image.alt = picture.prompt;
    image.addEventListener("load", () => setText(this.#message, text("tryDone")), { once: true });
    image.addEventListener(
      "error",
      () => {
        this.#frame.replaceChildren(create("p", "muted", text("tryBlocked")), openLink(picture));
      },
      { once: true },
    );
    image.src = picture.source;
    this.#frame.replaceChildren(image);
    this.#renderLabels(picture);
  }

  #renderLabels(picture: Picture): void {
    const unknown = text("unknown");
    const facts: [string, string][] = [
      [text("tryPrompt"), picture.prompt || unknown],
      [text("labelModel"), picture.model || unknown],
      [text("labelProvider"), picture.provider || unknown],
      [text("labelSize"), picture.size || unknown],
    ];
    if (picture.processingMs !== undefined) facts.push([text("labelTime"), duration(picture.processingMs)]);
    const rows = facts.map(([name, value]) => {
      const row = create("div", "fact");
      row.append(create("dt", "fact-name", name), create("dd", "fact-value", value));
      return row;
    });
    const list = create("dl", "facts");
    list.append(...rows);
    this.#labels.replaceChildren(list, openLink(picture));
  }

  #showTrouble(trouble: Trouble): void {
    const box = create("div", "trouble");
    box.append(create("p", "trouble-title", trouble.title));
    if (trouble.detail) box.append(create("p", "", trouble.detail));
    if (trouble.fields.length > 0) {
      const list = create("ul", "");
      list.append(...trouble.fields.map((field) => create("li", "", field)));
      box.append(list);
    }
    if (trouble.requestId) box.append(create("p", "muted", text("errorRequestId", { id: trouble.requestId })));
    this.#trouble.replaceChildren(box);
  }
}

function openLink(picture: Picture): HTMLAnchorElement {
  const link = create("a", "open-link", text("tryOpen"));
  link.href = picture.link;
  link.rel = "noreferrer";
  return link;
}

/** A time in words: milliseconds below one second, seconds with one decimal above. */
function duration(ms: number): string {
  return ms < 1000 ? text("milliseconds", { n: Math.round(ms) }) : text("seconds", { n: (ms / 1000).toFixed(1) });
}
