import { existsSync } from "node:fs";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";

/** Starts the system's Chromium. Its absence is a failure: a browser test that did not run proves nothing. */
export async function startBrowser(): Promise<Browser> {
  if (!existsSync(executablePath)) {
    throw new Error(`no Chromium at ${executablePath}: install it or set CHROMIUM_PATH`);
  }
  return chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
    ],
  });
}

/** A page with everything the browser complained about on it: script errors, console errors, policy violations. */
export interface WatchedPage {
  readonly page: Page;
  readonly complaints: readonly string[];
}

/** Opens a page in its own context. Failed loads that a test arranged itself go into expected, by a part of their text. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions & { expected?: RegExp } = {},
): Promise<WatchedPage> {
  const { expected, ...contextOptions } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...contextOptions });
  const page = await context.newPage();
  const complaints: string[] = [];
  const note = (complaint: string) => {
    if (!expected?.test(complaint)) complaints.push(complaint);
  };
  page.on("pageerror", (error) => note(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") note(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      // oxlint-disable-next-line no-console -- the console is how the page reaches the test
      console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  page.setDefaultTimeout(10_000);
  await page.goto(url);
  return { page, complaints };
}
