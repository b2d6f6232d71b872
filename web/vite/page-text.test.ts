import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { defaultOrigin, steps } from "../src/commands.ts";
import { en } from "../src/text.en.ts";
import { fillPage, renderSteps } from "./page-text.ts";

test("fills a key and escapes what HTML would read", () => {
  expect(fillPage("<p>{{ stepChatDetail }}</p>")).toContain("&quot;stream&quot;: true");
});

test("stops at a key that the dictionary does not have", () => {
  expect(() => fillPage("{{nothing}}")).toThrow("index.html uses {{nothing}}");
});

test("renders every step, with each address in an element of its own", () => {
  const html = renderSteps();
  const addressed = steps.filter((step) => step.command.includes("{origin}")).length;
  expect(html.match(/<li /g)).toHaveLength(steps.length);
  expect(html.split(`<span data-origin>${defaultOrigin}</span>`)).toHaveLength(addressed + 1);
  expect(html).not.toContain("{origin}");
});

test("the page uses every text it should, and has no inline script or style", async () => {
  const source = await readFile(new URL("../index.html", import.meta.url), "utf8");
  const page = fillPage(source);
  expect(page).not.toMatch(/\{\{|\sstyle=|<style|<script(?![^>]*\ssrc=)|\son\w+=/);
  expect(page).toContain(en.claim);
});

test("every text is used somewhere", async () => {
  const names = ["../index.html", ...["commands", "picture", "problem", "provider-list", "quick-start", "status-card", "try-card"].map((name) => `../src/${name}.ts`)];
  const sources = (await Promise.all(names.map((name) => readFile(new URL(name, import.meta.url), "utf8")))).join("\n");
  const unused = Object.keys(en).filter((key) => !new RegExp(`["{]${key}["}]`).test(sources));
  expect(unused).toEqual([]);
});
