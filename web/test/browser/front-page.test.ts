import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Browser, Page, Route } from "playwright-core";
import { openPage, startBrowser } from "./browser.ts";
import { startFakeServer, type FakeServer } from "./server.ts";

/** A real llmhist to test, or unset to test the built page against a stand-in. */
const realURL = process.env["LLMHIST_URL"];

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

/** Answers one path of the API with a problem, whichever server is behind the page. */
function problem(status: number, body: Record<string, unknown>, headers: Record<string, string> = {}) {
  return (route: Route) =>
    route.fulfill({ status, headers, contentType: "application/problem+json", body: JSON.stringify({ status, ...body }) });
}

async function generate(page: Page, prompt: string): Promise<void> {
  await page.getByLabel("Prompt").fill(prompt);
  await page.getByRole("button", { name: "Generate picture" }).click();
}

/** The failed load that the browser itself reports for an answer with an error status. */
const refusedLoad = /Failed to load resource/;

describe("status", () => {
  test("shows the state, each dependency, the version and the providers", async () => {
    const { page, complaints } = await openPage(browser, url);
    await page.locator("#status[data-state=ready]").waitFor();
    expect(await page.locator("#status-state").textContent()).toBe("Ready");
    expect(await page.locator("#status-checks li").first().textContent()).toContain("database");
    expect(await page.locator("#status-version").textContent()).not.toBe("unknown");
    await page.locator("#provider-image code").waitFor();
    await page.locator("#provider-speech code").waitFor();
    expect(await page.locator("#status-next").textContent()).toBe("next check in 10 s");
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test("says which dependency failed when a 503 comes, and shows server text as text", async () => {
    const { page } = await openPage(browser, url, { expected: refusedLoad });
    const checks = [{ name: "<img src=x onerror=alert(1)>", status: "failed", detail: "<b>disk full</b>" }];
    await page.route("**/readyz", problem(503, { status: "degraded", checks, version: "1.2.3" }));
    await page.getByRole("button", { name: "Check now" }).click();
    await page.locator("#status[data-state=degraded]").waitFor();
    const row = page.locator("#status-checks li");
    expect(await row.textContent()).toContain("<img src=x onerror=alert(1)>failed<b>disk full</b>");
    expect(await row.locator("img, b").count()).toBe(0);
    await page.context().close();
  });

  test("says unreachable, keeps the last report as such, and waits longer each time", async () => {
    const { page } = await openPage(browser, url, { expected: refusedLoad });
    await page.locator("#status[data-state=ready]").waitFor();
    await page.route("**/readyz", (route) => route.abort("connectionrefused"));
    await page.getByRole("button", { name: "Check now" }).click();
    await page.locator("#status[data-state=unreachable][data-stale]").waitFor();
    expect(await page.locator("#status-detail").textContent()).toContain("from the last answer");
    expect(await page.locator("#status-next").textContent()).toBe("next check in 20 s");
    await page.unroute("**/readyz");
    await page.getByRole("button", { name: "Check now" }).click();
    await page.locator("#status[data-state=ready]:not([data-stale])").waitFor();
    await page.context().close();
  });
});

describe("try it", () => {
  // The one test that generates for real: anonymous generation is limited to a few a minute.
  test("generates a picture and says who made it, with no policy violation", async () => {
    const { page, complaints } = await openPage(browser, url);
    await generate(page, "a <b>lighthouse</b> at dusk");
    const image = page.locator("#try-frame img");
    await image.waitFor();
    await page.getByText("The picture is ready.", { exact: true }).waitFor();
    expect(await image.evaluate((element: HTMLImageElement) => element.naturalWidth)).toBe(512);
    expect(await image.getAttribute("alt")).toBe("a <b>lighthouse</b> at dusk");
    const labels = (await page.locator("#try-labels").textContent()) ?? "";
    expect(labels).toContain("a <b>lighthouse</b> at dusk");
    expect(labels).toMatch(/Model\S+Provider\S+Size512x512/);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test("explains a rate limit with the seconds to wait", async () => {
    const { page } = await openPage(browser, url, { expected: refusedLoad });
    await page.route("**/image/generate", problem(429, { title: "Too Many Requests" }, { "Retry-After": "17" }));
    await generate(page, "a lighthouse");
    await page.getByText("Too many requests for now. Try again in 17 seconds.").waitFor();
    expect(await page.getByRole("button", { name: "Generate picture" }).isEnabled()).toBe(true);
    await page.context().close();
  });

  test("lists the fields of a validation problem as text", async () => {
    const { page } = await openPage(browser, url, { expected: refusedLoad });
    const errors = [{ field: "prompt", code: "too_long", message: "is <i>too</i> long" }];
    await page.route("**/image/generate", problem(422, { title: "Invalid", detail: "One field.", errors, request_id: "r-1" }));
    await generate(page, "a lighthouse");
    const trouble = page.locator("#try-trouble");
    await trouble.getByText("Invalid", { exact: true }).waitFor();
    expect(await trouble.locator("li").textContent()).toBe("prompt: is <i>too</i> long");
    expect(await trouble.textContent()).toContain("Request id: r-1");
    await page.context().close();
  });

  test("asks for a prompt without calling the server", async () => {
    const { page } = await openPage(browser, url);
    let calls = 0;
    await page.route("**/image/generate", (route) => {
      calls += 1;
      return route.abort();
    });
    await generate(page, "   ");
    await page.getByText("Write a prompt first").waitFor();
    expect(await page.getByLabel("Prompt").evaluate((element) => element === document.activeElement)).toBe(true);
    expect(calls).toBe(0);
    await page.context().close();
  });

  test("is disabled while running and can be cancelled", async () => {
    const { page } = await openPage(browser, url, { expected: refusedLoad });
    // Never answered: only cancelling ends it.
    await page.route("**/image/generate", () => undefined);
    await generate(page, "a lighthouse");
    expect(await page.getByRole("button", { name: "Generating…" }).isDisabled()).toBe(true);
    const cancelled = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/image/generate"));
    await page.getByRole("button", { name: "Cancel" }).click();
    await cancelled;
    await page.getByText("Cancelled.").waitFor();
    const submit = page.getByRole("button", { name: "Generate picture" });
    expect(await submit.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.context().close();
  });

  test("offers the link when the picture may not be loaded from here", async () => {
    const { page } = await openPage(browser, url, { expected: refusedLoad });
    const body = { id: "1", prompt: "p", size: "512x512", status: "completed", download_url: "https://objects.example/missing.png", metadata: {} };
    await page.route("**/image/generate", (route) => route.fulfill({ status: 201, json: body }));
    await generate(page, "a lighthouse");
    const link = page.locator("#try-frame").getByRole("link", { name: "Open the picture" });
    expect(await link.getAttribute("href")).toBe("https://objects.example/missing.png");
    await page.context().close();
  });
});

describe("quick start", () => {
  test("copies a command with the page's own address", async () => {
    const { page, complaints } = await openPage(browser, url, { permissions: ["clipboard-read", "clipboard-write"] });
    await page.getByRole("button", { name: "Copy the command of step 4" }).click();
    await page.getByText("Copied", { exact: true }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toContain(`curl -sS ${new URL(url).origin}/image/generate \\\n  -H "Authorization: Bearer $TOKEN"`);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test("selects the command where the clipboard is refused", async () => {
    const { page } = await openPage(browser, url, { permissions: [] });
    await page.evaluate(() => {
      Object.defineProperty(navigator, "clipboard", { value: undefined });
    });
    await page.getByRole("button", { name: "Copy the command of step 1" }).click();
    await page.getByText("Press Ctrl+C", { exact: true }).waitFor();
    expect(await page.evaluate(() => getSelection()?.toString())).toBe("llmhist admin create --email you@example.com");
    await page.context().close();
  });

  test("reads in full without JavaScript", async () => {
    const { page } = await openPage(browser, url, { javaScriptEnabled: false });
    expect(await page.locator(".step").count()).toBe(7);
    expect(await page.locator(".step code").nth(1).textContent()).toContain("curl -sS http://127.0.0.1:8080/auth/register");
    expect(await page.locator("#try-form").isVisible()).toBe(false);
    expect(await page.getByRole("button").count()).toBe(0);
    expect(await page.locator("#status noscript p").isVisible()).toBe(true);
    await page.context().close();
  });
});
