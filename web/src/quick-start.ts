import { byId, create, setText } from "./dom.ts";
import { steps } from "./commands.ts";
import { text } from "./text.ts";

/** How long a copy button says that it has copied, in milliseconds. */
const copiedMs = 2_000;

/** Puts the page's own origin into every command and gives each command a copy button. */
export function enliven(origin: string): void {
  for (const mark of document.querySelectorAll("[data-origin]")) setText(mark, origin);
  const message = byId("quick-message", HTMLElement);
  for (const item of document.querySelectorAll<HTMLElement>("[data-step]")) addCopyButton(item, message);
}

function addCopyButton(item: HTMLElement, message: HTMLElement): void {
  const number = Number(item.dataset["step"]);
  const step = steps[number - 1];
  const code = item.querySelector("code");
  if (!step || !code) return;
  const button = create("button", "copy", text("copy"));
  button.type = "button";
  button.setAttribute("aria-label", text("copyCommand", { n: number, title: text(step.title) }));
  let reset: ReturnType<typeof setTimeout> | undefined;
  button.addEventListener("click", () => {
    void copy(code).then((copied) => {
      clearTimeout(reset);
      setText(button, text(copied ? "copied" : "copyFailed"));
      setText(message, text(copied ? "copiedCommand" : "copySelected"));
      button.toggleAttribute("data-done", copied);
      reset = setTimeout(() => {
        setText(button, text("copy"));
        setText(message, "");
        button.removeAttribute("data-done");
      }, copiedMs);
    });
  });
  code.parentElement?.before(button);
}

/**
 * Copies an element's text. Where the clipboard is not to be had (an insecure origin, or refused),
 * selects the text instead and resolves with false.
 */
async function copy(code: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(code);
    return false;
  }
}
