import type { Plugin } from "vite";
import { defaultOrigin, originMark, steps } from "../src/commands.ts";
import { isTextKey, text } from "../src/text.ts";

/** Escapes s for use as HTML text or as a quoted attribute value. */
export function escapeHTML(s: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return s.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}

/** A command as HTML: every {origin} becomes an element the page can put its own address into. */
function renderCommand(command: string): string {
  const origin = `<span data-origin>${escapeHTML(defaultOrigin)}</span>`;
  return command.split(originMark).map(escapeHTML).join(origin);
}

/** The quick start's list items, complete without JavaScript. */
export function renderSteps(): string {
  const items = steps.map(
    (step, i) => `<li class="step" data-step="${i + 1}">
        <div class="step-text">
          <h3>${escapeHTML(text(step.title))}</h3>
          <p>${escapeHTML(text(step.detail))}</p>
        </div>
        <div class="command">
          <pre tabindex="0" aria-label="${escapeHTML(text(step.title))}"><code>${renderCommand(step.command)}</code></pre>
        </div>
      </li>`,
  );
  return items.join("\n      ");
}

/**
 * Fills {{key}} marks from the dictionary and {{steps}} from the quick start. An unknown key is an
 * error, so a typo stops the build instead of reaching a reader.
 */
export function fillPage(html: string): string {
  return html.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, key: string) => {
    if (key === "steps") return renderSteps();
    if (!isTextKey(key)) throw new Error(`index.html uses {{${key}}}, which the dictionary does not have`);
    return escapeHTML(text(key));
  });
}

/** Writes the dictionary's text into index.html at build time: the page reads in full without JavaScript. */
export function pageText(): Plugin {
  return {
    name: "llmhist:page-text",
    transformIndexHtml: { order: "pre", handler: fillPage },
  };
}
