/** The element with that id, of that class. A page without it is broken, so this throws. */
export function byId<T extends Element>(id: string, type: abstract new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} with id ${id}`);
  return element;
}

/**
 * A new element with a class and text. Text is always set as text: nothing a server says is ever
 * read as HTML.
 */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  words = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (words) element.textContent = words;
  return element;
}

/** Sets text only when it differs, so that a live region is not announced again for nothing. */
export function setText(element: Element, words: string): void {
  if (element.textContent !== words) element.textContent = words;
}
