import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import OpenAI, { AuthenticationError, BadRequestError, InternalServerError, NotFoundError } from "openai";
import { apiKey, ask, baseURL } from "./server.mjs";

const client = new OpenAI({ baseURL, apiKey });
const hello = [{ role: "user", content: "hello" }];

test("models are listed and read", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  for (const id of ["demo-1", "local/canvas", "local/flite", "vectors-1"]) assert.ok(ids.includes(id), `${id} in ${ids}`);
  assert.equal((await client.models.retrieve("local/canvas")).owned_by, "local");
  await assert.rejects(client.models.retrieve("nobody/nothing"), NotFoundError);
});

test("a chat is answered", async () => {
  const answer = await client.chat.completions.create({ model: "demo-1", messages: hello });
  assert.equal(answer.choices[0].message.content, "Hi from demo-1!");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, 11);
});

test("a chat is streamed, with its usage", async () => {
  const stream = await client.chat.completions.create({
    model: "demo-1", messages: hello, stream: true, stream_options: { include_usage: true },
  });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, "Hi from demo-1!");
  assert.equal(usage.total_tokens, 11);
});

test("the helper of streams puts an answer together", async () => {
  const answer = await client.chat.completions.stream({ model: "demo-1", messages: hello }).finalChatCompletion();
  assert.equal(answer.choices[0].message.content, "Hi from demo-1!");
});

test("tools are called, whole and streamed, and their results go on in one session", async () => {
  const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
  const question = [{ role: "user", content: "weather in Oslo?" }];
  const { data: called, response } = await client.chat.completions.create({ model: "demo-1", messages: question, tools }).withResponse();
  const call = called.choices[0].message.tool_calls[0];
  assert.equal(called.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Oslo" });
  const { data: told, response: second } = await client.chat.completions
    .create({ model: "demo-1", messages: [...question, called.choices[0].message, { role: "tool", tool_call_id: call.id, content: "22" }], tools })
    .withResponse();
  assert.equal(told.choices[0].message.content, "It is 22.");
  const session = response.headers.get("llmhist-session");
  assert.equal(second.headers.get("llmhist-session"), session);
  const kept = await ask(`/chat/sessions/${session}`);
  assert.equal(kept.messages.length, 4);
  assert.equal(kept.messages[1].extra.tool_calls[0].function.name, "weather");

  const streamed = await client.chat.completions.stream({ model: "demo-1", messages: question, tools }).finalChatCompletion();
  assert.deepEqual(JSON.parse(streamed.choices[0].message.tool_calls[0].function.arguments), { city: "Oslo" });
});

test("a stream that is left stops its provider and is kept as cancelled", async () => {
  const { data: stream, response } = await client.chat.completions.create({ model: "slow-1", messages: hello, stream: true }).withResponse();
  for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
  const session = response.headers.get("llmhist-session");
  for (let tries = 0; ; tries++) {
    const [, answer] = (await ask(`/chat/sessions/${session}`)).messages;
    if (answer.status === "cancelled") {
      assert.equal(answer.content, "one ");
      return;
    }
    assert.ok(tries < 100, `it is ${answer.status}`);
    await pause(50);
  }
});

test("embeddings come as the SDK asks for them", async () => {
  const byDefault = await client.embeddings.create({ model: "vectors-1", input: ["a", "b"] }); // the SDK asks for base64
  assert.deepEqual(byDefault.data.map((item) => Array.from(item.embedding)), [[1, -0.5], [0.25, 2]]);
  const asNumbers = await client.embeddings.create({ model: "vectors-1", input: "a", encoding_format: "float" });
  assert.deepEqual(asNumbers.data[0].embedding, [1, -0.5]);
});

test("a picture is made", async () => {
  const made = await client.images.generate({ model: "local/canvas", prompt: "fog", size: "64x64" });
  assert.equal(Buffer.from(made.data[0].b64_json, "base64").subarray(1, 4).toString(), "PNG");
});

test("speech is written to a file", async () => {
  const dir = await mkdtemp(join(tmpdir(), "llmhist-"));
  try {
    const speech = await client.audio.speech.create({ model: "local/flite", voice: "slt", input: "Good morning.", response_format: "wav" });
    assert.equal(speech.headers.get("content-type"), "audio/wav");
    await writeFile(join(dir, "a.wav"), Buffer.from(await speech.arrayBuffer()));
    assert.equal((await readFile(join(dir, "a.wav"))).subarray(0, 4).toString(), "RIFF");
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("responses are answered", async () => {
  const answer = await client.responses.create({ model: "demo-1", instructions: "be brief", input: "hello" });
  assert.equal(answer.output_text, "Hi from demo-1!");
  assert.equal(answer.status, "completed");
  assert.equal(answer.usage.total_tokens, 11);
});

test("responses are streamed", async () => {
  const types = [];
  let text = "";
  const stream = await client.responses.create({ model: "demo-1", input: "hello", stream: true });
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, "Hi from demo-1!");
  assert.equal(types[0], "response.created");
  assert.equal(types.at(-1), "response.completed");
  const whole = await client.responses.stream({ model: "demo-1", input: "hello" }).finalResponse();
  assert.equal(whole.output_text, "Hi from demo-1!");
});

test("responses go on from a previous one, with tools and streamed", async () => {
  const tools = [{ type: "function", name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } }, strict: false }];
  const { data: first, response } = await client.responses.create({ model: "demo-1", input: "weather in Oslo?", tools }).withResponse();
  const call = first.output.find((item) => item.type === "function_call");
  const second = await client.responses.create({
    model: "demo-1", previous_response_id: first.id, input: [{ type: "function_call_output", call_id: call.call_id, output: "22" }], tools,
  });
  assert.equal(second.output_text, "It is 22.");
  assert.equal(second.previous_response_id, first.id);
  const third = await client.responses.stream({ model: "demo-1", previous_response_id: second.id, input: "thanks" }).finalResponse();
  assert.equal(third.output_text, "Hi from demo-1!");
  const kept = await ask(`/chat/sessions/${response.headers.get("llmhist-session")}`);
  assert.equal(kept.messages.length, 6);
  await assert.rejects(
    client.responses.create({ model: "demo-1", previous_response_id: "resp_nobody", input: "x" }),
    (error) => error instanceof BadRequestError && error.code === "previous_response_not_found" && error.param === "previous_response_id",
  );
});

test("errors have their classes", async () => {
  const create = (over, options) => client.chat.completions.create({ model: "demo-1", messages: hello, ...over }, { maxRetries: 0, ...options });
  await assert.rejects(create({ model: "nobody" }), (error) => error instanceof NotFoundError && error.code === "model_not_found" && error.param === "model");
  await assert.rejects(create({ messages: [] }), (error) => error instanceof BadRequestError && error.param === "messages");
  await assert.rejects(create({ model: "wrong-key-1" }), (error) => error instanceof InternalServerError && error.code === "provider_credentials_refused");
  const stranger = new OpenAI({ baseURL, apiKey: "llmh_nobody" });
  await assert.rejects(stranger.chat.completions.create({ model: "demo-1", messages: hello }), AuthenticationError);
  await assert.rejects(client.post("/nothing", { maxRetries: 0 }), NotFoundError);
});

test("a stream that breaks off is an error", async () => {
  const stream = await client.chat.completions.create({ model: "broken-1", messages: hello, stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, /broke off/);
  const response = await client.responses.create({ model: "broken-1", input: "hello", stream: true });
  await assert.rejects(async () => {
    for await (const event of response) assert.notEqual(event.type, "response.completed");
  }, /broke off/);
});

test("a provider that is busy for a moment is asked again", async () => {
  const answer = await client.chat.completions.create({ model: "busy-1", messages: hello });
  assert.equal(answer.choices[0].message.content, "Hi from busy-1!");
});
