// The official OpenAI client for Node on /v1/chat/completions and /v1/embeddings.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { BREAKS, DIRECT, MODELS, TOOLS, WEATHER, brokenStream, client, counters, faulty, last, script, user,
         waitForCancel } from "./shared.mjs";

const say = (model, text, more = {}) => client.chat.completions.create({ model, messages: user(text), ...more });

for (const model of MODELS) {
  test(`${model}: chat`, async () => {
    const answer = await say(model, script({ text: "Hello there", usage: { input: 100, cached: 60, output: 7 } }));
    assert.equal(answer.choices[0].message.content, "Hello there");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, 107);
    assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 60);
  });

  test(`${model}: stream with usage`, async () => {
    let text = "";
    let usage;
    const more = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await say(model, script({ text: "a b c" }), more)) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, "a b c");
    assert.ok(usage.completion_tokens > 0);
  });

  test(`${model}: tools, call and result`, async () => {
    const messages = user("What is the weather in Bern?");
    const asked = await client.chat.completions.create({ model, messages, tools: TOOLS, tool_choice: "required" });
    const [call] = asked.choices[0].message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Bern", days: 1 });
    messages.push(asked.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" });
    const answer = await client.chat.completions.create({ model, messages, tools: TOOLS });
    assert.equal(answer.choices[0].message.content, "The tool says: sunny");
  });

  test(`${model}: tools in a stream`, async () => {
    const calls = [1, 2].map((days) => ({ name: "get_weather", arguments: { city: "Bern", days } }));
    const stream = client.chat.completions.stream({ model, messages: user(script({ tool_calls: calls })), tools: TOOLS });
    const message = (await stream.finalChatCompletion()).choices[0].message;
    assert.deepEqual(message.tool_calls.map((c) => JSON.parse(c.function.arguments).days), [1, 2]);
  });

  test(`${model}: structured output`, async () => {
    const format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema: WEATHER } };
    const answer = await client.chat.completions.parse({ model, messages: user("Where?"), response_format: format });
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: "Bern", days: 1 });
  });

  test(`${model}: image`, async () => {
    const image_url = { url: "data:image/png;base64,iVBORw0KGgo=" };
    const answer = await say(model, [{ type: "text", text: "What is it?" }, { type: "image_url", image_url }]);
    assert.match(answer.choices[0].message.content, /1 image/);
    assert.match(JSON.stringify(await last()), /iVBORw0KGgo=/);
  });

  test(`${model}: reasoning`, async () => {
    const answer = await say(model, script({ text: "42", reasoning: "six times seven" }));
    assert.equal(answer.choices[0].message.reasoning_content, "six times seven");
  });

  test(`${model}: 400 names the field`, async () => {
    await assert.rejects(client.chat.completions.create({ model, messages: [] }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "messages");
      return true;
    });
  });

  test(`${model}: 429 with retry-after`, async () => {
    await assert.rejects(say(faulty(model), script({ status: 429, headers: [["retry-after", "1"]] })), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.headers.get("retry-after"), "1");
      return true;
    });
  });

  for (const how of BREAKS) {
    test(`${model}: a stream that ends by ${how} never looks complete`, async () => {
      let finished = false;
      let raised = false;
      let text = "";
      try {
        for await (const chunk of await say(faulty(model), brokenStream(how), { stream: true })) {
          finished ||= Boolean(chunk.choices[0]?.finish_reason);
          text += chunk.choices[0]?.delta.content ?? "";
        }
      } catch {
        raised = true;
      }
      assert.equal(finished, false);
      assert.notEqual(text, "");
      assert.ok(raised || (DIRECT && how === "clean_eof"));
    });
  }

  test(`${model}: a client that leaves cancels the call`, async () => {
    const before = await counters();
    const stream = await say(model, script({ chunks: 2000, chunk_ms: 20 }), { stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.choices);
      break;
    }
    stream.controller.abort();
    assert.ok(await waitForCancel(before));
  });
}

test("404 on an unknown model", { skip: DIRECT && "only a gateway does this" }, async () => {
  await assert.rejects(say("no-such-model", "hi"), OpenAI.NotFoundError);
});

test("413 on a huge body", { skip: DIRECT && "only a gateway does this" }, async () => {
  await assert.rejects(say("gpt-scripted", "x".repeat(3_000_000)), (error) => error.status === 413);
});

test("502 on garbage", { skip: DIRECT && "only a gateway does this" }, async () => {
  for (const garbage of ["not_json", "wrong_json", "truncated_json", "empty"]) {
    await assert.rejects(say("gpt-faulty", script({ garbage })), (error) => error.status === 502, garbage);
  }
});

test("routing by the name auto", { skip: DIRECT && "only a gateway does this" }, async () => {
  const { data, response } = await say("auto", "hi").withResponse();
  assert.ok(data.choices[0].message.content);
  assert.equal(response.headers.get("x-fingerpost-model"), "gpt-scripted");
});

test("embeddings", async () => {
  const input = ["a cat", "a dog"];
  const coded = await client.embeddings.create({ model: "fingerpost-static", input });
  const plain = await client.embeddings.create({ model: "fingerpost-static", input, encoding_format: "float" });
  assert.equal(coded.data.length, 2);
  for (const [i, { embedding }] of coded.data.entries()) {
    assert.equal(embedding.length, plain.data[i].embedding.length);
    embedding.forEach((x, j) => assert.ok(Math.abs(x - plain.data[i].embedding[j]) < 1e-6));
  }
});

test("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes(DIRECT ? "gpt-upstream" : "gpt-scripted"), names.join(" "));
});
