// The official OpenAI client for Node against the local model.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { DIRECT, client, user } from "./shared.mjs";

const model = "smollm2";
const skip = (DIRECT && "the scripted upstream has no local model") ||
  (process.env.CLIENTS_LOCAL === "0" && "left out by --no-local");

test("local: chat, stream, structured output, tools, errors", { skip }, async () => {
  const messages = user("What is the capital of France?");
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 24, temperature: 0 });
  assert.match(answer.choices[0].message.content, /Paris/);

  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ model, messages, max_tokens: 8, stream: true })) {
    if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
  }
  assert.ok(pieces.length > 1);

  const schema = { type: "object", properties: { answer: { type: "boolean" } }, required: ["answer"], additionalProperties: false };
  const response_format = { type: "json_schema", json_schema: { name: "verdict", strict: true, schema } };
  const verdict = await client.chat.completions.create({ model, messages, response_format, max_tokens: 40 });
  assert.equal(typeof JSON.parse(verdict.choices[0].message.content).answer, "boolean");

  const tools = [{ type: "function", function: { name: "look_up", description: "Looks a thing up", parameters: schema } }];
  const asked = await client.chat.completions.create({ model, messages, tools, tool_choice: "required", max_tokens: 80 });
  assert.equal(asked.choices[0].message.tool_calls[0].function.name, "look_up");

  await assert.rejects(client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
});
