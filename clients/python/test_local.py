"""All Python clients against the local model, through the gateway."""

import json
import os

import anthropic
import openai
import pydantic
import pytest
from conftest import CLIENT_KEY, DIRECT, URL
from langchain_openai import ChatOpenAI

pytestmark = [
    pytest.mark.skipif(DIRECT, reason="the scripted upstream has no local model"),
    pytest.mark.skipif(os.environ.get("CLIENTS_LOCAL") == "0", reason="left out by --no-local"),
]

MODEL = "smollm2"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "name": "get_weather",
    "description": "Tells the weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class Verdict(pydantic.BaseModel):
    """Whether something is true."""

    answer: bool


def test_openai_chat(openai_client):
    answer = openai_client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=24, temperature=0)
    assert "Paris" in answer.choices[0].message.content
    assert answer.usage.completion_tokens <= 24
    assert answer.usage.prompt_tokens > 5


def test_openai_stream_and_seed(openai_client):
    def run(seed):
        chunks = list(openai_client.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=12, temperature=1.5, seed=seed, stream=True))
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("length", "stop")
        texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
        assert len(texts) > 1, "a stream comes in pieces"
        return "".join(texts)

    assert run(7) == run(7)


def test_openai_max_tokens_and_stop(openai_client):
    cut = openai_client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=3, temperature=0)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 3)
    stopped = openai_client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=24, temperature=0, stop=["France"])
    assert "France" not in stopped.choices[0].message.content


def test_openai_tools(openai_client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    tools = [{"type": "function", "function": TOOL}]
    asked = openai_client.chat.completions.create(
        model=MODEL, messages=messages, tools=tools, tool_choice="required", max_tokens=80, temperature=0)
    call = asked.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    messages += [asked.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}]
    answer = openai_client.chat.completions.create(model=MODEL, messages=messages, max_tokens=24, temperature=0)
    assert answer.choices[0].message.content


def test_openai_structured_output(openai_client):
    answer = openai_client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "Is water wet?"}], response_format=Verdict, max_tokens=40,
        temperature=0)
    assert isinstance(answer.choices[0].message.parsed, Verdict)


def test_openai_responses(openai_client):
    first = openai_client.responses.create(model=MODEL, input="What is the capital of France?", max_output_tokens=24,
                                           temperature=0)
    assert "Paris" in first.output_text
    events = list(openai_client.responses.create(
        model=MODEL, input="And of Italy?", previous_response_id=first.id, max_output_tokens=16, temperature=0, stream=True))
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text
    verdict = openai_client.responses.parse(model=MODEL, input="Is water wet?", text_format=Verdict, max_output_tokens=40)
    assert isinstance(verdict.output_parsed, Verdict)


def test_openai_errors(openai_client):
    with pytest.raises(openai.BadRequestError):
        openai_client.chat.completions.create(model=MODEL, messages=[])
    with pytest.raises(openai.BadRequestError):
        openai_client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 20_000}])


def test_anthropic(anthropic_client):
    answer = anthropic_client.messages.create(
        model=MODEL, messages=QUESTION, max_tokens=24, extra_body={"temperature": 0})
    assert "Paris" in answer.content[0].text
    with anthropic_client.messages.stream(model=MODEL, messages=QUESTION, max_tokens=8) as stream:
        assert stream.get_final_message().content[0].text
    tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}
    asked = anthropic_client.messages.create(
        model=MODEL, messages=QUESTION, max_tokens=80, tools=[tool], tool_choice={"type": "any"})
    assert [b.name for b in asked.content if b.type == "tool_use"] == ["get_weather"]
    parsed = anthropic_client.messages.parse(model=MODEL, messages=QUESTION, max_tokens=40, output_format=Verdict)
    assert isinstance(parsed.parsed_output, Verdict)
    with pytest.raises(anthropic.BadRequestError):
        anthropic_client.messages.create(model=MODEL, messages=[], max_tokens=9)


def test_langchain():
    model = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=CLIENT_KEY, max_tokens=40, temperature=0, max_retries=0)
    assert "Paris" in model.invoke("What is the capital of France?").content
    assert "".join(chunk.content for chunk in model.stream("Say hello."))
    assert isinstance(model.with_structured_output(Verdict).invoke("Is water wet?"), Verdict)
    asked = model.bind_tools([{"type": "function", "function": TOOL}], tool_choice="any").invoke("The weather in Paris?")
    assert [call["name"] for call in asked.tool_calls] == ["get_weather"]
