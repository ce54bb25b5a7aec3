"""The official OpenAI client on /v1/chat/completions."""

import json

import httpx
import openai
import pydantic
import pytest
from conftest import (BREAKS, CACHED_USAGE, CLIENT_KEY, DIRECT, KEY, OPENAI_MODELS, URL, WEATHER, broken_stream, faulty,
                      gateway_only, is_anthropic, script)

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER}}]


def user(text):
    return [{"role": "user", "content": text}]


def say(client, model, text, **more):
    return client.chat.completions.create(model=model, messages=user(text), **more)


@pytest.fixture(params=OPENAI_MODELS)
def model(request):
    return request.param


def test_chat(openai_client, model):
    answer = say(openai_client, model, script(text="Hello there"))
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_system_prompt_and_sampling_pass_on(openai_client, model, upstream):
    messages = [{"role": "system", "content": "Be brief."}, *user("Hi")]
    openai_client.chat.completions.create(
        model=model, messages=messages, temperature=0.25, top_p=0.5, max_tokens=33, stop=["STOP"]
    )
    seen = upstream.last()
    assert (seen["temperature"], seen["top_p"]) == (0.25, 0.5)
    if is_anthropic(model):
        assert "Be brief." in json.dumps(seen["system"])
        assert (seen["max_tokens"], seen["stop_sequences"]) == (33, ["STOP"])
    else:
        assert seen["messages"] == messages
        assert (seen["max_tokens"], seen["stop"]) == (33, ["STOP"])


def test_stop_and_length_are_told(openai_client, model):
    cut = say(openai_client, model, script(text="one two three four"), max_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    stopped = say(openai_client, model, script(text="one two three four"), stop=["three"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("one two ", "stop")


def test_stream(openai_client, model):
    chunks = list(say(openai_client, model, script(text="a b c d"), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "a b c d"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert all(c.usage is None for c in chunks), "usage was not asked for"


def test_stream_usage(openai_client, model):
    asked = script(text="a b c", usage=CACHED_USAGE)
    chunks = list(say(openai_client, model, asked, stream=True, stream_options={"include_usage": True}))
    told = [c for c in chunks if c.usage is not None]
    assert len(told) == 1 and told[0] is chunks[-1] and told[0].choices == []
    assert (told[0].usage.prompt_tokens, told[0].usage.completion_tokens) == (100, 7)
    assert told[0].usage.prompt_tokens_details.cached_tokens == 60


def test_usage_counts_cached_input(openai_client, model):
    usage = say(openai_client, model, script(text="x", usage=CACHED_USAGE)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 7, 107)
    assert usage.prompt_tokens_details.cached_tokens == 60


def test_tool_round_trip(openai_client, model, upstream):
    messages = user("What is the weather in Bern?")
    asked = openai_client.chat.completions.create(model=model, messages=messages, tools=TOOLS, tool_choice="required")
    assert asked.choices[0].finish_reason == "tool_calls"
    call = asked.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Bern", "days": 1}
    messages += [asked.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = openai_client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "The tool says: sunny"
    seen = upstream.last()
    if is_anthropic(model):
        assert seen["tools"][0]["name"] == "get_weather"
        assert seen["tools"][0]["input_schema"] == WEATHER
        result = seen["messages"][-1]["content"][0]
        assert (result["type"], result["tool_use_id"]) == ("tool_result", seen["messages"][-2]["content"][-1]["id"])
    else:
        assert seen["tools"] == TOOLS


def test_tools_in_a_stream(openai_client, model):
    calls = [{"name": "get_weather", "arguments": {"city": "Bern", "days": n}} for n in (1, 2)]
    with openai_client.chat.completions.stream(
        model=model, messages=user(script(text="Let me see", tool_calls=calls)), tools=TOOLS
    ) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Let me see"
    assert [json.loads(c.function.arguments)["days"] for c in message.tool_calls] == [1, 2]
    assert len({c.id for c in message.tool_calls}) == 2


def test_named_tool_choice(openai_client, model, upstream):
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}
    choice = {"type": "function", "function": {"name": "get_weather"}}
    asked = say(openai_client, model, "hm", tools=[other, *TOOLS], tool_choice=choice)
    assert asked.choices[0].message.tool_calls[0].function.name == "get_weather"
    names = [t.get("name") or t["function"]["name"] for t in upstream.last()["tools"]]
    assert names == ["other", "get_weather"], "the order of tools is kept"


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]


def test_structured_output(openai_client, model):
    answer = openai_client.chat.completions.parse(model=model, messages=user("Who?"), response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_structured_output_in_a_stream(openai_client, model):
    with openai_client.chat.completions.stream(model=model, messages=user("Who?"), response_format=Person) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)


def test_image(openai_client, model, picture, upstream):
    url = f"data:image/png;base64,{picture}"
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = openai_client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    assert "1 image" in answer.choices[0].message.content
    part = upstream.last()["messages"][0]["content"][1]
    if is_anthropic(model):
        assert part["source"] == {"type": "base64", "media_type": "image/png", "data": picture}
    else:
        assert part == parts[1]


def test_reasoning(openai_client, model):
    asked = script(text="42", reasoning="six times seven")
    message = say(openai_client, model, asked).choices[0].message
    assert (message.content, message.reasoning_content) == ("42", "six times seven")
    chunks = list(say(openai_client, model, asked, stream=True))
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == "six times seven"
    assert "".join(d.content or "" for d in deltas) == "42"


def test_refusal_logprobs_and_n_pass_on(openai_client):
    model = OPENAI_MODELS[0]
    refused = say(openai_client, model, script(refusal="I would rather not"))
    assert refused.choices[0].message.refusal == "I would rather not"
    odds = say(openai_client, model, script(text="a b"), logprobs=True, top_logprobs=2)
    assert [t.token for t in odds.choices[0].logprobs.content] == ["a ", "b"]
    assert len(odds.choices[0].logprobs.content[0].top_logprobs) == 2
    assert [c.index for c in say(openai_client, model, script(text="a"), n=3).choices] == [0, 1, 2]


def test_unknown_fields_pass_on(openai_client, upstream):
    say(openai_client, OPENAI_MODELS[0], "hi", extra_body={"x_new_field": {"deep": [1, 2.50, "ü"]}})
    assert upstream.last()["x_new_field"] == {"deep": [1, 2.5, "ü"]}


def test_keys_do_not_cross(openai_client, model, upstream):
    say(openai_client, model, "hi")
    seen = upstream.last_headers()
    assert KEY in (seen.get("authorization", ""), seen.get("x-api-key", "")) or f"Bearer {KEY}" == seen["authorization"]
    if not DIRECT:
        assert CLIENT_KEY not in json.dumps(seen)


def test_models(openai_client):
    names = [m.id for m in openai_client.models.list()]
    expected = ["gpt-upstream"] if DIRECT else ["auto", "gpt-scripted", "claude-scripted", "smollm2"]
    assert set(expected) <= set(names)
    assert openai_client.models.retrieve(expected[-1]).id == expected[-1]


@gateway_only
def test_routing_is_told(openai_client):
    raw = openai_client.chat.completions.with_raw_response.create(model="auto", messages=user("hi"))
    assert raw.headers["x-fingerpost-decision"] == "default"
    assert raw.headers["x-fingerpost-model"] == "gpt-scripted"
    assert raw.headers["x-fingerpost-trace"]
    assert raw.parse().choices[0].message.content


def test_embeddings(openai_client):
    texts = ["a cat sleeps on the sofa", "a kitten naps on the couch", "the stock market fell"]
    coded = openai_client.embeddings.create(model="fingerpost-static", input=texts)
    plain = openai_client.embeddings.create(model="fingerpost-static", input=texts, encoding_format="float")
    vectors = [d.embedding for d in coded.data]
    for ours, other in zip(vectors, plain.data):
        assert ours == pytest.approx(other.embedding, abs=1e-6)
        assert sum(x * x for x in ours) == pytest.approx(1, abs=1e-3)
    assert [d.index for d in coded.data] == [0, 1, 2]
    assert coded.usage.prompt_tokens > 0
    if not DIRECT:
        cosine = lambda a, b: sum(x * y for x, y in zip(a, b))
        assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])


# === errors ===


def test_400_names_the_field(openai_client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model=model, messages=[])
    assert caught.value.param == "messages"


@gateway_only
@pytest.mark.parametrize("field, value", [("temperature", "hot"), ("max_tokens", -1), ("tools", {}), ("stream", "yes")])
def test_400_on_wrong_types(openai_client, field, value):
    with pytest.raises(openai.BadRequestError) as caught:
        say(openai_client, "gpt-scripted", "hi", extra_body={field: value})
    assert field in str(caught.value)


def test_400_on_malformed_json():
    headers = {"authorization": f"Bearer {CLIENT_KEY}", "content-type": "application/json"}
    answer = httpx.post(f"{URL}/v1/chat/completions", content=b'{"model": "x", "messages": [', headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@gateway_only
def test_404_on_an_unknown_model(openai_client):
    with pytest.raises(openai.NotFoundError) as caught:
        say(openai_client, "no-such-model", "hi")
    assert "no-such-model" in str(caught.value)
    assert caught.value.code == "model_not_found"


@gateway_only
def test_413_on_a_huge_body(openai_client):
    with pytest.raises(openai.APIStatusError) as caught:
        say(openai_client, "gpt-scripted", "x" * 3_000_000)
    assert caught.value.status_code == 413


def test_429_comes_with_its_retry_after(openai_client, model):
    with pytest.raises(openai.RateLimitError) as caught:
        say(openai_client, faulty(model), script(status=429, headers=[["retry-after", "1"]]))
    assert caught.value.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("status", [500, 503])
def test_upstream_failures_are_server_errors(openai_client, model, status):
    with pytest.raises(openai.InternalServerError):
        say(openai_client, faulty(model), script(status=status))


@gateway_only
@pytest.mark.parametrize("garbage", ["not_http", "not_json", "wrong_json", "truncated_json", "empty"])
def test_502_on_garbage(openai_client, model, garbage):
    with pytest.raises(openai.InternalServerError) as caught:
        say(openai_client, faulty(model), script(garbage=garbage))
    assert caught.value.status_code == 502


@gateway_only
@pytest.mark.parametrize("garbage", ["not_json", "wrong_json", "truncated_json", "empty"])
def test_garbage_in_a_stream_never_looks_complete(openai_client, model, garbage):
    with pytest.raises(openai.APIError):
        list(say(openai_client, faulty(model), script(garbage=garbage, chunks=9), stream=True))


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_never_looks_complete(openai_client, model, how):
    seen = []
    # Anything the client raises will do: a reset shows as the HTTP library's own error.
    raised = None
    try:
        for chunk in say(openai_client, faulty(model), broken_stream(how), stream=True):
            seen.append(chunk)
    except Exception as error:
        raised = error
    assert not any(c.choices and c.choices[0].finish_reason for c in seen)
    assert any(c.choices and c.choices[0].delta.content for c in seen), "what came before the break was passed on"
    # The upstream's silent end is what a gateway must not pass on as it is.
    assert raised is not None or (DIRECT and how == "clean_eof")


@pytest.mark.parametrize("how", ["reset", "eof"])
def test_a_break_before_the_answer_is_an_error(openai_client, model, how):
    for at in ("headers", "first_event"):
        with pytest.raises(Exception) as caught:
            list(say(openai_client, faulty(model), script(fault={"at": at, "how": how}), stream=True))
        if not DIRECT:
            assert caught.value.status_code == 502


def test_a_client_that_leaves_cancels_the_call(openai_client, model, upstream):
    before = upstream.counters()
    stream = say(openai_client, model, script(chunks=2000, chunk_ms=20), stream=True)
    for _, chunk in zip(range(3), stream):
        assert chunk.choices
    stream.close()
    assert upstream.wait_for_cancel(before)
