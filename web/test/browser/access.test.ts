import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { openPage, startBrowser } from "./browser.ts";
import { startFakeServer, type FakeServer } from "./server.ts";

const realURL = process.env["LLMHIST_URL"];
/** Where to keep pictures of the page for a person to look at; unset keeps none. */
const screenshots = process.env["SCREENSHOT_DIR"];

let browser: Browser;
let fake: FakeServer | undefined;
let url = "";

beforeAll(async () => {
  browser = await startBrowser();
  fake = realURL ? undefined : await startFakeServer();
  url = realURL ?? fake?.url ?? "";
});

afterAll(async () => {
  await browser?.close();
  await fake?.close();
});

/** Long words in every place where the server may say something, and then a server that is away. */
async function breakEverything(page: Page): Promise<void> {
  const long = "x".repeat(400);
  const report = { status: "degraded", version: long, checks: [{ name: long, status: "failed", detail: long }] };
  await page.route("**/readyz", (route) => route.fulfill({ status: 503, json: report }));
  await page.route("**/image/generate", (route) =>
    route.fulfill({ status: 422, json: { title: long, detail: long, errors: [{ field: long, message: long }], request_id: long } }),
  );
  await page.getByRole("button", { name: "Check now" }).click();
  await page.locator("#status[data-state=degraded]").waitFor();
  await page.getByRole("button", { name: "Generate picture" }).click();
  await page.locator("#try-trouble li").waitFor();
  await page.unroute("**/readyz");
  await page.route("**/readyz", (route) => route.abort());
  await page.getByRole("button", { name: "Check now" }).click();
  await page.locator("#status[data-state=unreachable][data-stale]").waitFor();
}

const viewports = { desktop: { width: 1280, height: 800 }, phone: { width: 360, height: 740 } };

describe.each(["light", "dark"] as const)("in %s", (colorScheme) => {
  test.each(Object.entries(viewports))("on a %s nothing scrolls sideways and nothing is too faint", async (name, viewport) => {
    const { page, complaints } = await openPage(browser, url, { viewport, colorScheme });
    await page.locator("#status[data-state=ready]").waitFor();
    await page.locator("#provider-speech code").waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBeLessThanOrEqual(viewport.width);
    expect(await page.evaluate(cutOff)).toEqual([]);
    expect(await page.evaluate(faintTexts)).toEqual([]);
    expect(complaints).toEqual([]);
    if (screenshots) await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}.png`, fullPage: true });
    await breakEverything(page);
    expect(await page.evaluate(cutOff)).toEqual([]);
    expect(await page.evaluate(faintTexts)).toEqual([]);
    if (screenshots) await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}-broken.png`, fullPage: true });
    await page.context().close();
  });
});

test("has one h1, no skipped heading level, names for all controls and no doubled id", async () => {
  const { page } = await openPage(browser, url);
  await page.locator("#status[data-state=ready]").waitFor();
  expect(await page.evaluate(structureFaults)).toEqual([]);
  await page.context().close();
});

test("is reached by keyboard alone, with a visible ring on everything", async () => {
  const { page } = await openPage(browser, url);
  await page.locator("#status[data-state=ready]").waitFor();
  const total = await page.locator("a[href]:visible, button:visible, textarea, select, pre[tabindex]").count();
  const seen = new Set<string>();
  for (let i = 0; i < total; i++) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(focusedControl);
    expect(focus.ring, `${focus.name} shows its focus`).toBe(true);
    seen.add(focus.name);
  }
  expect(seen.size).toBe(total);
  expect([...seen][0]).toContain("Skip to the content");
  await page.context().close();
});

test("does not move for those who asked for less motion", async () => {
  const { page } = await openPage(browser, url, { reducedMotion: "reduce" });
  await page.evaluate(() => document.getElementById("status")?.setAttribute("data-state", "starting"));
  expect(await page.locator(".lamp").evaluate((lamp) => getComputedStyle(lamp).animationName)).toBe("none");
  await page.context().close();
});

/** Runs in the page: boxes that reach beyond its right edge, except what scrolls inside a box of its own. */
function cutOff(): string[] {
  const edge = document.documentElement.clientWidth + 0.5;
  return [...document.querySelectorAll("body *:not(pre *)")]
    .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > edge)
    .map((element) => `${element.tagName} ${element.className}`);
}

/** Runs in the page: visible texts whose contrast with their background is below 4.5:1 (WCAG 2.2 AA). */
function faintTexts(): string[] {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!canvas) throw new Error("no canvas");
  const rgba = (color: string): number[] => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color: number[]): number => {
    const [r = 0, g = 0, b = 0] = color.slice(0, 3).map((value) => {
      const c = value / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element: Element | null): number[] => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const faint: string[] = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.textContent?.trim();
    const element = walker.currentNode.parentElement;
    if (!words || !element?.checkVisibility()) continue;
    const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${words.slice(0, 40)}`);
  }
  return faint;
}

/** Runs in the page: what is wrong with headings, names, ids and inline styles. */
function structureFaults(): string[] {
  const faults: string[] = [];
  const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => Number(heading.tagName[1]));
  if (headings.filter((level) => level === 1).length !== 1) faults.push("not exactly one h1");
  headings.forEach((level, i) => {
    if (level - (headings[i - 1] ?? 0) > 1) faults.push(`h${level} skips a level`);
  });
  for (const field of document.querySelectorAll<HTMLTextAreaElement | HTMLSelectElement>("textarea, select, input")) {
    if (!field.labels?.length) faults.push(`${field.id} has no label`);
  }
  for (const control of document.querySelectorAll("button, a[href]")) {
    if (!control.textContent?.trim() && !control.getAttribute("aria-label")) faults.push("a control has no name");
  }
  for (const image of document.querySelectorAll("img:not([alt])")) faults.push(`the image ${image.getAttribute("src")} has no alt`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size !== ids.length) faults.push("an id is used twice");
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      const id = element.getAttribute(attribute) ?? "";
      if (!document.getElementById(id)) faults.push(`${attribute} names ${id}, which is not there`);
    }
  }
  if (document.querySelector("[style], style, script:not([src])")) faults.push("inline style or script");
  if (!document.documentElement.lang) faults.push("no language");
  return faults;
}

/** Runs in the page: what has the focus, by a name of its own, and whether it shows. */
function focusedControl(): { name: string; ring: boolean } {
  const element = document.activeElement;
  if (!element) return { name: "", ring: false };
  const style = getComputedStyle(element);
  const label = element.getAttribute("aria-label") ?? element.id ?? "";
  return {
    name: `${element.tagName} ${label} ${element.textContent?.trim().slice(0, 30)} ${element.getAttribute("href") ?? ""}`,
    ring: style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2,
  };
}
