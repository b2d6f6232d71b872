import assert from "node:assert/strict";
import { test } from "node:test";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { apiKey, baseURL } from "./server.mjs";

const model = new ChatOpenAI({ model: "demo-1", apiKey, configuration: { baseURL } });

test("LangChain gets an answer", async () => {
  const answer = await model.invoke("hello");
  assert.equal(answer.content, "Hi from demo-1!");
  assert.equal(answer.usage_metadata.output_tokens, 2);
});

test("LangChain streams an answer", async () => {
  let text = "";
  for await (const chunk of await model.stream("hello")) text += chunk.content;
  assert.equal(text, "Hi from demo-1!");
});

test("LangChain uses a tool", async () => {
  const weather = tool(async ({ city }) => (city === "Oslo" ? "22" : "?"), { name: "weather", description: "of a city", schema: z.object({ city: z.string() }) });
  const bound = model.bindTools([weather]);
  const question = new HumanMessage("weather in Oslo?");
  const called = await bound.invoke([question]);
  const [call] = called.tool_calls;
  assert.deepEqual(call.args, { city: "Oslo" });
  const result = new ToolMessage({ tool_call_id: call.id, content: await weather.invoke(call.args) });
  const told = await bound.invoke([question, called, result]);
  assert.equal(told.content, "It is 22.");
});
