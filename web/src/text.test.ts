import { describe, expect, test } from "vitest";
import { en } from "./text.en.ts";
import { isTextKey, text, textCount } from "./text.ts";

describe("text", () => {
  test("fills its marks", () => {
    expect(text("statusNextCheck", { seconds: 10 })).toBe("next check in 10 s");
  });

  test("puts a value in as it is, even when it looks like a mark or a pattern", () => {
    expect(text("statusCheckedAt", { time: "{time} $& $1" })).toBe("Checked at {time} $& $1");
  });

  test("leaves a mark without a value to be seen", () => {
    expect(text("statusNextCheck")).toBe("next check in {seconds} s");
  });

  test("chooses the form by number", () => {
    expect([0, 1, 2].map((n) => textCount(n, "voiceOne", "voiceMany"))).toEqual(["0 voices", "1 voice", "2 voices"]);
  });

  test("knows its own keys only", () => {
    expect([isTextKey("claim"), isTextKey("toString"), isTextKey("nothing")]).toEqual([true, false, false]);
  });

  test("has no empty entry", () => {
    expect(Object.entries(en).filter(([, words]) => words.trim() === "")).toEqual([]);
  });
});
