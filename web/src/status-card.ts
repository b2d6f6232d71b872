import { byId, create, setText } from "./dom.ts";
import type { Check, Readiness } from "./readiness.ts";
import { text, type TextKey } from "./text.ts";

/** How each state is called and explained. The names are also the values of data-state, which styles use. */
const words = {
  ready: ["statusReady", "statusReadyDetail"],
  starting: ["statusStarting", "statusStartingDetail"],
  draining: ["statusDraining", "statusDrainingDetail"],
  degraded: ["statusDegraded", "statusDegradedDetail"],
  unreachable: ["statusUnreachable", "statusUnreachableDetail"],
  garbled: ["statusGarbled", "statusGarbledDetail"],
} as const satisfies Record<string, readonly [TextKey, TextKey]>;

/** The live status card: what the server says about itself, or that it says nothing. */
export class StatusCard {
  readonly #card = byId("status", HTMLElement);
  readonly #state = byId("status-state", HTMLElement);
  readonly #detail = byId("status-detail", HTMLElement);
  readonly #version = byId("status-version", HTMLElement);
  readonly #checks = byId("status-checks", HTMLUListElement);
  readonly #checkedAt = byId("status-checked-at", HTMLElement);
  readonly #next = byId("status-next", HTMLElement);
  #hasReport = false;

  /** Makes the card live; onCheckNow is called when the reader asks for a check. */
  constructor(onCheckNow: () => void) {
    const button = byId("status-check-now", HTMLButtonElement);
    button.addEventListener("click", onCheckNow);
    button.hidden = false;
    byId("status-live", HTMLElement).hidden = false;
    this.#show("checking", text("statusChecking"), text("statusCheckingDetail"));
  }

  /** Shows an answer, or honestly that there is none; at is the time of the check. */
  render(readiness: Readiness, at: Date): void {
    const state = readiness.kind === "report" ? readiness.state : readiness.kind;
    const [title, detail] = words[state];
    const status = readiness.kind === "garbled" ? readiness.status : "";
    const isStale = readiness.kind !== "report" && this.#hasReport;
    this.#show(state, text(title), text(detail, { status }) + (isStale ? ` ${text("statusStale")}` : ""));
    this.#card.toggleAttribute("data-stale", isStale);
    setText(this.#checkedAt, text("statusCheckedAt", { time: at.toLocaleTimeString() }));
    if (readiness.kind !== "report") return;
    this.#hasReport = true;
    setText(this.#version, readiness.version || text("statusVersionUnknown"));
    this.#renderChecks(readiness.checks);
  }

  /** Shows when the next check is due, in milliseconds, or with undefined that checks are paused. */
  renderNext(delayMs: number | undefined): void {
    const next =
      delayMs === undefined ? text("statusPaused") : text("statusNextCheck", { seconds: Math.round(delayMs / 1000) });
    setText(this.#next, next);
  }

  #show(state: string, title: string, detail: string): void {
    this.#card.dataset["state"] = state;
    setText(this.#state, title);
    setText(this.#detail, detail);
  }

  #renderChecks(checks: readonly Check[]): void {
    const rows = checks.map(checkRow);
    this.#checks.replaceChildren(...(rows.length > 0 ? rows : [create("li", "muted", text("statusNoDependencies"))]));
  }
}

function checkRow(check: Check): HTMLLIElement {
  const row = create("li", "fact");
  const name = create("span", "fact-name", check.name);
  const result = create("span", "fact-value");
  result.append(create("span", check.ok ? "mark mark-ok" : "mark mark-failed", text(check.ok ? "checkOk" : "checkFailed")));
  if (check.detail) result.append(create("span", "muted", check.detail));
  row.append(name, result);
  return row;
}
