import { describe, expect, test } from "vitest";
import type { Outcome } from "./http.ts";
import { findImageCatalog, findSpeechCatalog, readImageCatalog, readSpeechCatalog } from "./catalog.ts";

const canvas = { id: "local/canvas", provider: "local", default: false, description: "by rules" };
const flux = { id: "flux", provider: "pollinations", default: true, description: "" };
const slt = { id: "slt", language: "en", model: "local/flite", provider: "local", available: true };

describe("readImageCatalog", () => {
  test("the default model answers", () => {
    expect(readImageCatalog({ models: [canvas, flux] })).toEqual({
      answerer: { model: "flux", provider: "pollinations", description: "", others: 1 },
    });
  });

  test("without a default the first answers", () => {
    expect(readImageCatalog({ models: [canvas] })?.answerer).toMatchObject({ model: "local/canvas", others: 0 });
  });

  test("an empty list means that nobody answers", () => {
    expect(readImageCatalog({ models: [] })).toEqual({ answerer: undefined });
  });

  test.each([[null], [[]], [{}], [{ models: "x" }], ["models"]])("%j is not a catalog", (body) => {
    expect(readImageCatalog(body)).toBeUndefined();
  });
});

describe("readSpeechCatalog", () => {
  test("counts the available voices of the model that answers", () => {
    const voices = [{ ...slt, id: "off", available: false }, slt, { ...slt, id: "rms" }, { ...slt, id: "x", model: "gtts" }];
    expect(readSpeechCatalog({ voices })).toEqual({
      answerer: { model: "local/flite", provider: "local", description: "", others: 1 },
      voices: 2,
    });
  });

  test("names the model even when none of its voices is available", () => {
    const catalog = readSpeechCatalog({ voices: [{ ...slt, available: false }] });
    expect(catalog).toMatchObject({ answerer: { model: "local/flite", others: 0 }, voices: 0 });
  });

  test("an empty list means that nobody answers", () => {
    expect(readSpeechCatalog({ voices: [] })).toEqual({ answerer: undefined, voices: 0 });
  });

  test("something else is not a catalog", () => {
    expect(readSpeechCatalog({ voices: null })).toBeUndefined();
  });
});

test.each<Outcome>([
  { kind: "unreachable" },
  { kind: "garbled", status: 200, headers: new Headers() },
  { kind: "answer", status: 500, headers: new Headers(), body: { models: [], voices: [] } },
])("an outcome like $kind cannot be read", async (outcome) => {
  expect(await findImageCatalog(async () => outcome)).toBeUndefined();
  expect(await findSpeechCatalog(async () => outcome)).toBeUndefined();
});
