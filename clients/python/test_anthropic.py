"""The official Anthropic client on /v1/messages."""

import json

import anthropic
import pydantic
import pytest
from conftest import (ANTHROPIC_MODELS, BREAKS, DIRECT, WEATHER, broken_stream, faulty, gateway_only, is_anthropic,
                      script)

TOOLS = [{"name": "get_weather", "description": "Weather", "input_schema": WEATHER}]
WRITTEN_USAGE = {"input": 100, "cached": 60, "cache_creation": 30, "output": 7}


@pytest.fixture(params=ANTHROPIC_MODELS)
def model(request):
    return request.param


def say(client, model, content, **more):
    more.setdefault("max_tokens", 400)
    return client.messages.create(model=model, messages=[{"role": "user", "content": content}], **more)


def events_of(client, model, content, **more):
    return list(say(client, model, content, stream=True, **more))


def test_chat(anthropic_client, model):
    answer = say(anthropic_client, model, script(text="Hello there"))
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "Hello there"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_system_prompt_and_sampling_pass_on(anthropic_client, model, upstream):
    say(anthropic_client, model, "hi", system="Be brief.", max_tokens=33, stop_sequences=["STOP"],
        extra_body={"temperature": 0.25})
    seen = upstream.last()
    assert seen["temperature"] == 0.25
    if is_anthropic(model):
        assert (seen["system"], seen["max_tokens"], seen["stop_sequences"]) == ("Be brief.", 33, ["STOP"])
    else:
        assert seen["messages"][0]["content"] == "Be brief." or "Be brief." in json.dumps(seen["messages"][0])
        assert 33 in (seen.get("max_tokens"), seen.get("max_completion_tokens"))
        assert seen["stop"] in ("STOP", ["STOP"])


def test_length_is_told(anthropic_client, model):
    cut = say(anthropic_client, model, script(text="one two three four"), max_tokens=2)
    assert cut.stop_reason == "max_tokens"


def test_stream(anthropic_client, model):
    events = events_of(anthropic_client, model, script(text="a b c"))
    kinds = [e.type for e in events if e.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta") == "a b c"
    assert events[-2].delta.stop_reason == "end_turn"
    assert events[-2].usage.output_tokens > 0


def test_usage(anthropic_client, model):
    """Cached input is counted apart from other input. OpenAI's format knows no cache writes."""
    asked = {"input": 100, "cached": 60, "output": 7} if not is_anthropic(model) else WRITTEN_USAGE
    expected = 10 if is_anthropic(model) else 40
    usage = say(anthropic_client, model, script(text="x", usage=asked)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (expected, 60, 7)
    if is_anthropic(model):
        assert usage.cache_creation_input_tokens == 30
    with anthropic_client.messages.stream(
        model=model, max_tokens=99, messages=[{"role": "user", "content": script(text="x", usage=asked)}]
    ) as stream:
        usage = stream.get_final_message().usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (expected, 60, 7)


def test_tool_round_trip(anthropic_client, model, upstream):
    messages = [{"role": "user", "content": "What is the weather in Bern?"}]
    more = {"model": model, "max_tokens": 99, "tools": TOOLS}
    asked = anthropic_client.messages.create(messages=messages, tool_choice={"type": "any"}, **more)
    assert asked.stop_reason == "tool_use"
    call = next(block for block in asked.content if block.type == "tool_use")
    assert (call.name, call.input) == ("get_weather", {"city": "Bern", "days": 1})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    answer = anthropic_client.messages.create(messages=messages, **more)
    assert answer.content[0].text == "The tool says: sunny"
    if not is_anthropic(model):
        seen = upstream.last()
        assert seen["tools"][0]["function"]["parameters"] == WEATHER
        assert seen["messages"][-1]["tool_call_id"] == seen["messages"][-2]["tool_calls"][0]["id"]


def test_tools_in_a_stream(anthropic_client, model):
    calls = [{"name": "get_weather", "arguments": {"city": "Bern", "days": n}} for n in (1, 2)]
    with anthropic_client.messages.stream(
        model=model, max_tokens=99, tools=TOOLS,
        messages=[{"role": "user", "content": script(text="Let me see", tool_calls=calls)}],
    ) as stream:
        message = stream.get_final_message()
    assert [b.type for b in message.content] == ["text", "tool_use", "tool_use"]
    assert message.content[0].text == "Let me see"
    assert [b.input["days"] for b in message.content[1:]] == [1, 2]
    assert len({b.id for b in message.content[1:]}) == 2


def test_named_tool_choice(anthropic_client, model):
    other = {"name": "other", "input_schema": {"type": "object", "properties": {}}}
    answer = say(anthropic_client, model, "hm", tools=[other, *TOOLS], tool_choice={"type": "tool", "name": "get_weather"})
    assert [b.name for b in answer.content if b.type == "tool_use"] == ["get_weather"]


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_structured_output(anthropic_client, model):
    answer = anthropic_client.messages.parse(
        model=model, max_tokens=99, messages=[{"role": "user", "content": "Who?"}], output_format=Person
    )
    assert isinstance(answer.parsed_output, Person)


def test_image(anthropic_client, model, picture, upstream):
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    answer = say(anthropic_client, model, content)
    assert "1 image" in answer.content[0].text
    parts = upstream.last()["messages"][0]["content"]
    if is_anthropic(model):
        assert parts[0]["source"] == source
    else:
        assert parts[0]["image_url"]["url"] == f"data:image/png;base64,{picture}"


def test_thinking(anthropic_client, model, upstream):
    asked = script(text="42", reasoning="six times seven")
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = say(anthropic_client, model, asked, max_tokens=2000, thinking=thinking)
    assert [b.type for b in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking == "six times seven"
    with anthropic_client.messages.stream(
        model=model, max_tokens=2000, thinking=thinking, messages=[{"role": "user", "content": asked}]
    ) as stream:
        message = stream.get_final_message()
    assert message.content[0].thinking == "six times seven"
    if is_anthropic(model):
        assert message.content[0].signature.startswith("sig-")
        # What the model thought must come back to it untouched.
        follow = [{"role": "user", "content": asked}, {"role": "assistant", "content": message.content},
                  {"role": "user", "content": "Sure?"}]
        anthropic_client.messages.create(model=model, max_tokens=2000, messages=follow)
        block = upstream.last()["messages"][1]["content"][0]
        assert (block["thinking"], block["signature"]) == ("six times seven", message.content[0].signature)


def test_cache_control_passes_on(anthropic_client, upstream):
    system = [{"type": "text", "text": "Long rules.", "cache_control": {"type": "ephemeral"}}]
    tools = [{**TOOLS[0], "cache_control": {"type": "ephemeral"}}]
    say(anthropic_client, "claude-scripted", "hi", system=system, tools=tools)
    seen = upstream.last()
    assert (seen["system"], seen["tools"]) == (system, tools)


def test_unknown_fields_pass_on(anthropic_client, upstream):
    say(anthropic_client, "claude-scripted", "hi", extra_body={"x_new_field": {"deep": [1]}})
    assert upstream.last()["x_new_field"] == {"deep": [1]}


# === errors ===


def test_400_names_the_field(anthropic_client, model):
    with pytest.raises(anthropic.BadRequestError) as caught:
        anthropic_client.messages.create(model=model, max_tokens=9, messages=[])
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert "messages" in caught.value.body["error"]["message"]


@gateway_only
def test_404_on_an_unknown_model(anthropic_client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        say(anthropic_client, "no-such-model", "hi")
    assert caught.value.body["error"]["type"] == "not_found_error"


@gateway_only
def test_413_on_a_huge_body(anthropic_client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        say(anthropic_client, "claude-scripted", "x" * 3_000_000)
    assert caught.value.status_code == 413


def test_429_comes_with_its_retry_after(anthropic_client, model):
    with pytest.raises(anthropic.RateLimitError) as caught:
        say(anthropic_client, faulty(model), script(status=429, headers=[["retry-after", "1"]]))
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.body["error"]["type"] == "rate_limit_error"


@gateway_only
@pytest.mark.parametrize("garbage", ["not_json", "wrong_json", "truncated_json", "empty"])
def test_502_on_garbage(anthropic_client, model, garbage):
    with pytest.raises(anthropic.APIStatusError) as caught:
        say(anthropic_client, faulty(model), script(garbage=garbage))
    assert caught.value.status_code == 502
    assert caught.value.body["error"]["type"] == "api_error"


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_never_looks_complete(anthropic_client, model, how):
    seen, raised = [], None
    try:
        for event in say(anthropic_client, faulty(model), broken_stream(how), stream=True):
            seen.append(event)
    except Exception as error:
        raised = error
    assert not {"message_delta", "message_stop"} & {e.type for e in seen}
    assert any(e.type == "content_block_delta" for e in seen), "what came before the break was passed on"
    assert raised is not None or (DIRECT and how == "clean_eof")


def test_a_client_that_leaves_cancels_the_call(anthropic_client, model, upstream):
    before = upstream.counters()
    stream = say(anthropic_client, model, script(chunks=2000, chunk_ms=20), stream=True)
    for _ in zip(range(5), stream):
        pass
    stream.close()
    assert upstream.wait_for_cancel(before)
