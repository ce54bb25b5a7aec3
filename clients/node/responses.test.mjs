// The official OpenAI client for Node on /v1/responses.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { BREAKS, DIRECT, MODELS, WEATHER, brokenStream, client, faulty, script } from "./shared.mjs";

const tools = [{ type: "function", name: "get_weather", description: "Weather", parameters: WEATHER, strict: true }];

for (const model of MODELS) {
  test(`${model}: responses, whole and streamed`, async () => {
    const input = script({ text: "a b c" });
    assert.equal((await client.responses.create({ model, input, store: false })).output_text, "a b c");
    let text = "";
    let end;
    for await (const event of await client.responses.create({ model, input, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
      end = event;
    }
    assert.equal(text, "a b c");
    assert.equal(end.type, "response.completed");
    assert.ok(end.response.usage.total_tokens > 0);
  });

  test(`${model}: responses, a tool's result after the stored response`, async () => {
    const first = await client.responses.create({ model, input: "What is the weather in Bern?", tools });
    const call = first.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Bern", days: 1 });
    const output = [{ type: "function_call_output", call_id: call.call_id, output: "sunny" }];
    const answer = await client.responses.create({ model, input: output, tools, previous_response_id: first.id });
    assert.equal(answer.output_text, "The tool says: sunny");
  });

  test(`${model}: responses, structured output`, async () => {
    const text = { format: { type: "json_schema", name: "weather", strict: true, schema: WEATHER } };
    const answer = await client.responses.parse({ model, input: "Where?", text });
    assert.deepEqual(JSON.parse(answer.output_text), { city: "Bern", days: 1 });
  });

  test(`${model}: responses, 429`, async () => {
    const input = script({ status: 429, headers: [["retry-after", "1"]] });
    await assert.rejects(client.responses.create({ model: faulty(model), input }), OpenAI.RateLimitError);
  });

  for (const how of BREAKS) {
    test(`${model}: a response stream that ends by ${how} never looks complete`, async () => {
      const kinds = [];
      let raised = false;
      try {
        const stream = await client.responses.create({ model: faulty(model), input: brokenStream(how), stream: true });
        for await (const event of stream) kinds.push(event.type);
      } catch {
        raised = true;
      }
      assert.ok(!kinds.includes("response.completed"));
      const told = raised || ["error", "response.failed", "response.incomplete"].includes(kinds.at(-1));
      assert.ok(told || (DIRECT && how === "clean_eof"), kinds.join(" "));
    });
  }
}
