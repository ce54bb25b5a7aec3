"""The official OpenAI client on /v1/responses."""

import json

import openai
import pydantic
import pytest
from conftest import (BREAKS, CACHED_USAGE, DIRECT, OPENAI_MODELS, WEATHER, broken_stream, faulty, gateway_only,
                      is_anthropic, script)

TOOLS = [{"type": "function", "name": "get_weather", "description": "Weather", "parameters": WEATHER, "strict": True}]


@pytest.fixture(params=OPENAI_MODELS)
def model(request):
    return request.param


def test_text(openai_client, model):
    answer = openai_client.responses.create(model=model, input=script(text="Hello there"), store=False)
    assert (answer.status, answer.output_text, answer.error) == ("completed", "Hello there", None)


def test_usage(openai_client, model):
    usage = openai_client.responses.create(model=model, input=script(text="x", usage=CACHED_USAGE)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 7, 107)
    assert usage.input_tokens_details.cached_tokens == 60


def test_instructions_reach_the_upstream(openai_client, model, upstream):
    openai_client.responses.create(model=model, input="hi", instructions="Be brief.", max_output_tokens=33)
    assert "Be brief." in json.dumps(upstream.last())
    assert 33 in upstream.last().values()


def test_stream(openai_client, model):
    events = list(openai_client.responses.create(model=model, input=script(text="a b c"), stream=True))
    kinds = [e.type for e in events]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "a b c"
    assert events[-1].response.output_text == "a b c"
    assert events[-1].response.usage.total_tokens > 0
    for kind in ("output_item.added", "content_part.added", "output_text.done", "content_part.done", "output_item.done"):
        assert f"response.{kind}" in kinds
    assert [e.sequence_number for e in events] == sorted({e.sequence_number for e in events})


def test_tool_round_trip_without_state(openai_client, model):
    turns = [{"role": "user", "content": "What is the weather in Bern?"}]
    asked = openai_client.responses.create(model=model, input=turns, tools=TOOLS, tool_choice="required", store=False)
    call = next(item for item in asked.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"city": "Bern", "days": 1}
    turns += asked.output
    turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    answer = openai_client.responses.create(model=model, input=turns, tools=TOOLS, store=False)
    assert answer.output_text == "The tool says: sunny"


def test_tools_in_a_stream(openai_client, model):
    asked = script(tool_calls=[{"name": "get_weather", "arguments": {"city": "Bern", "days": n}} for n in (1, 2)])
    events = list(openai_client.responses.create(model=model, input=asked, tools=TOOLS, stream=True))
    pieces = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            pieces[event.output_index] = pieces.get(event.output_index, "") + event.delta
    assert [json.loads(text)["days"] for text in pieces.values()] == [1, 2]
    calls = [item for item in events[-1].response.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["days"] for call in calls] == [1, 2]


def test_previous_response_id(openai_client, model):
    first = openai_client.responses.create(model=model, input="What is the weather in Bern?", tools=TOOLS)
    call = next(item for item in first.output if item.type == "function_call")
    answer = openai_client.responses.create(
        model=model, previous_response_id=first.id, tools=TOOLS,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
    )
    assert answer.output_text == "The tool says: sunny"
    if not DIRECT:
        assert answer.previous_response_id == first.id


def test_what_was_streamed_can_be_followed(openai_client, model, upstream):
    events = list(openai_client.responses.create(model=model, input=script(text="My name is Ann"), stream=True))
    follow = openai_client.responses.create(
        model=model, previous_response_id=events[-1].response.id, input=script(text="And now?")
    )
    assert follow.output_text == "And now?"
    if not DIRECT:
        asked = upstream.last()
        assert "My name is Ann" in json.dumps((asked.get("messages") or asked["input"])[1])


def test_stored_responses_are_retrieved(openai_client):
    made = openai_client.responses.create(model=OPENAI_MODELS[0], input=script(text="kept"))
    assert openai_client.responses.retrieve(made.id).output_text == "kept"
    unkept = openai_client.responses.create(model=OPENAI_MODELS[0], input="hi", store=False)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(unkept.id)


def test_an_unknown_previous_response_is_an_error(openai_client):
    with pytest.raises(openai.APIStatusError) as caught:
        openai_client.responses.create(model=OPENAI_MODELS[0], previous_response_id="resp_none", input="hi")
    assert caught.value.status_code in (400, 404) and "resp_none" in str(caught.value)


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_structured_output(openai_client, model):
    answer = openai_client.responses.parse(model=model, input="Who?", text_format=Person)
    assert isinstance(answer.output_parsed, Person)


def test_image(openai_client, model, picture, upstream):
    url = f"data:image/png;base64,{picture}"
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": url, "detail": "auto"}]
    answer = openai_client.responses.create(model=model, input=[{"role": "user", "content": content}])
    assert "1 image" in answer.output_text
    assert picture in json.dumps(upstream.last())


def test_reasoning(openai_client, model):
    asked = script(text="42", reasoning="six times seven")
    answer = openai_client.responses.create(model=model, input=asked)
    item = next(item for item in answer.output if item.type == "reasoning")
    assert "six times seven" in json.dumps(item.model_dump())
    assert answer.output_text == "42"


# === errors ===


def test_400_names_the_field(openai_client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.responses.create(model=model, input=[])
    assert caught.value.param == "input"


@gateway_only
def test_404_on_an_unknown_model(openai_client):
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.create(model="no-such-model", input="hi")


def test_429_comes_with_its_retry_after(openai_client, model):
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.responses.create(model=faulty(model), input=script(status=429, headers=[["retry-after", "1"]]))
    assert caught.value.response.headers["retry-after"] == "1"


@gateway_only
@pytest.mark.parametrize("garbage", ["not_json", "wrong_json", "truncated_json", "empty"])
def test_502_on_garbage(openai_client, model, garbage):
    with pytest.raises(openai.InternalServerError) as caught:
        openai_client.responses.create(model=faulty(model), input=script(garbage=garbage))
    assert caught.value.status_code == 502


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_never_looks_complete(openai_client, model, how):
    seen, raised = [], None
    try:
        for event in openai_client.responses.create(model=faulty(model), input=broken_stream(how), stream=True):
            seen.append(event)
    except Exception as error:
        raised = error
    kinds = [e.type for e in seen]
    assert "response.completed" not in kinds
    told = raised is not None or kinds[-1] in ("error", "response.failed", "response.incomplete")
    assert told or (DIRECT and how == "clean_eof")


def test_a_client_that_leaves_cancels_the_call(openai_client, model, upstream):
    before = upstream.counters()
    stream = openai_client.responses.create(model=model, input=script(chunks=2000, chunk_ms=20), stream=True)
    for _ in zip(range(6), stream):
        pass
    stream.close()
    assert upstream.wait_for_cancel(before)
