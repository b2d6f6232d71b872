import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { backoff, Poller, type Visibility } from "./poller.ts";

class FakePage extends EventTarget implements Visibility {
  hidden = false;

  show(visible: boolean): void {
    this.hidden = !visible;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function start(check: (signal: AbortSignal) => Promise<boolean>, page = new FakePage()) {
  const onScheduled = vi.fn<(delay: number | undefined) => void>();
  const spy = vi.fn<typeof check>(check);
  const poller = new Poller({ check: spy, onScheduled, visibility: page, intervalMs: 10_000, maxIntervalMs: 60_000 });
  poller.start();
  return { poller, page, check: spy, onScheduled };
}

describe("Poller", () => {
  test("checks at once and then every interval", async () => {
    const { check, poller } = start(async () => true);
    expect(check).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(check).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(20_001);
    expect(check).toHaveBeenCalledTimes(4);
    poller.stop();
  });

  test("backs off while nothing answers, and recovers with the first answer", async () => {
    let up = false;
    const { onScheduled, poller } = start(async () => up);
    await vi.advanceTimersByTimeAsync(20_000 + 40_000 + 60_000);
    expect(onScheduled.mock.calls.map(([delay]) => delay)).toEqual([20_000, 40_000, 60_000, 60_000]);
    up = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(onScheduled.mock.lastCall).toEqual([10_000]);
    poller.stop();
  });

  test("does nothing while hidden and checks at once when seen again", async () => {
    const { check, onScheduled, page, poller } = start(async () => true);
    await vi.advanceTimersByTimeAsync(0);
    page.show(false);
    expect(onScheduled.mock.lastCall).toEqual([undefined]);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(check).toHaveBeenCalledTimes(1);
    page.show(true);
    expect(check).toHaveBeenCalledTimes(2);
    poller.stop();
  });

  test("waits to be seen when it starts hidden", async () => {
    const page = new FakePage();
    page.hidden = true;
    const { check, poller } = start(async () => true, page);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(check).not.toHaveBeenCalled();
    page.show(true);
    expect(check).toHaveBeenCalledTimes(1);
    poller.stop();
  });

  test("aborts the check under way when hidden, and its late end schedules nothing", async () => {
    let finish: (answered: boolean) => void = () => undefined;
    const { check, onScheduled, page, poller } = start(() => new Promise((resolve) => (finish = resolve)));
    page.show(false);
    expect(check.mock.calls[0]?.[0].aborted).toBe(true);
    finish(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(onScheduled.mock.calls).toEqual([[undefined]]);
    expect(check).toHaveBeenCalledTimes(1);
    poller.stop();
  });

  test("runs one check at a time however often it is asked", async () => {
    let finish: (answered: boolean) => void = () => undefined;
    const { check, poller } = start(() => new Promise((resolve) => (finish = resolve)));
    poller.checkNow();
    poller.checkNow();
    expect(check).toHaveBeenCalledTimes(1);
    finish(true);
    await vi.advanceTimersByTimeAsync(0);
    poller.checkNow();
    expect(check).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
    poller.stop();
  });

  test("stops for good, also when the page is shown later", async () => {
    const { check, page, poller } = start(async () => true);
    await vi.advanceTimersByTimeAsync(0);
    poller.stop();
    page.show(false);
    page.show(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(check).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test.each([
  [0, 10],
  [1, 20],
  [2, 40],
  [3, 60],
  [5_000, 60],
])("after %i failures the wait is %i", (failures, wait) => {
  expect(backoff(failures, { intervalMs: 10, maxIntervalMs: 60 })).toBe(wait);
});
