import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, baseURL } from "./server.mjs";

const llmhist = createOpenAICompatible({ name: "llmhist", baseURL, apiKey, includeUsage: true });
const model = llmhist("demo-1");

test("the AI SDK gets a text", async () => {
  const { text, usage } = await generateText({ model, prompt: "hello" });
  assert.equal(text, "Hi from demo-1!");
  assert.equal(usage.outputTokens, 2);
});

test("the AI SDK streams a text", async () => {
  const result = streamText({ model, prompt: "hello" });
  const parts = [];
  for await (const part of result.textStream) parts.push(part);
  assert.equal(parts.join(""), "Hi from demo-1!");
  assert.ok(parts.length > 1);
  assert.equal((await result.usage).outputTokens, 2);
});

test("the AI SDK uses a tool", async () => {
  const weather = tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => (city === "Oslo" ? "22" : "?") });
  const { text } = await generateText({ model, prompt: "weather in Oslo?", tools: { weather }, stopWhen: stepCountIs(3) });
  assert.match(text, /22/);
});
