/** Tells whether anybody can see the page; document is one. */
export interface Visibility extends EventTarget {
  readonly hidden: boolean;
}

/** When to poll. Times are in milliseconds. */
export interface PollerOptions {
  /** One check. Resolves with true when an answer came, false when not (which backs off). Must not reject. */
  readonly check: (signal: AbortSignal) => Promise<boolean>;
  /** Told after each check when the next one is due, and with undefined when polling pauses. */
  readonly onScheduled: (delayMs: number | undefined) => void;
  readonly visibility: Visibility;
  readonly intervalMs: number;
  readonly maxIntervalMs: number;
}

/**
 * Runs a check at an interval: at most one at a time, twice as long after each failure up to
 * maxIntervalMs, not at all while the page is hidden, and at once when it is seen again.
 */
export class Poller {
  readonly #options: PollerOptions;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | undefined;
  readonly #onVisibility = () => (this.#options.visibility.hidden ? this.#pause() : this.checkNow());

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Begins polling, with a first check at once if the page can be seen. Call it once. */
  start(): void {
    this.#options.visibility.addEventListener("visibilitychange", this.#onVisibility);
    this.#onVisibility();
  }

  /** Ends polling and aborts a check under way. */
  stop(): void {
    this.#options.visibility.removeEventListener("visibilitychange", this.#onVisibility);
    this.#cancel();
  }

  /** Checks at once instead of at the next time; does nothing while a check is under way. */
  checkNow(): void {
    if (this.#running) return;
    clearTimeout(this.#timer);
    void this.#run();
  }

  #pause(): void {
    this.#cancel();
    this.#options.onScheduled(undefined);
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#running = undefined;
  }

  async #run(): Promise<void> {
    const control = new AbortController();
    this.#running = control;
    const answered = await this.#options.check(control.signal);
    // A check that was cancelled has no say in when the next one is.
    if (this.#running !== control) return;
    this.#running = undefined;
    this.#failures = answered ? 0 : this.#failures + 1;
    const delay = backoff(this.#failures, this.#options);
    this.#timer = setTimeout(() => void this.#run(), delay);
    this.#options.onScheduled(delay);
  }
}

/** The wait after that many failures in a row: the interval, doubled for each, at most the maximum. */
export function backoff(failures: number, limits: { intervalMs: number; maxIntervalMs: number }): number {
  // 2^20 intervals is beyond any maximum; capping the exponent keeps the number finite.
  return Math.min(limits.maxIntervalMs, limits.intervalMs * 2 ** Math.min(failures, 20));
}
