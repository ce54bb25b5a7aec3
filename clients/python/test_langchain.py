"""LangChain's OpenAI integration."""

import openai
import pydantic
import pytest
from conftest import BREAKS, CLIENT_KEY, DIRECT, OPENAI_MODELS, URL, broken_stream, faulty, gateway_only, script
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@pytest.fixture(params=OPENAI_MODELS)
def model(request):
    return request.param


def chat(model, **more):
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=60, **more)


@tool
def get_weather(city: str, days: int) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


class Person(pydantic.BaseModel):
    """A person."""

    name: str
    age: int


def test_invoke(model):
    answer = chat(model).invoke(script(text="Hello there"))
    assert answer.content == "Hello there"
    assert answer.usage_metadata["total_tokens"] > 0


def test_stream(model):
    chunks = list(chat(model, stream_usage=True).stream(script(text="a b c")))
    assert "".join(c.content for c in chunks) == "a b c"
    assert sum(c.usage_metadata["output_tokens"] for c in chunks if c.usage_metadata) > 0


def test_tool_round_trip(model):
    bound = chat(model).bind_tools([get_weather])
    messages = [HumanMessage("What is the weather in Bern?")]
    asked = bound.invoke(messages)
    call = asked.tool_calls[0]
    assert call["name"] == "get_weather" and set(call["args"]) == {"city", "days"}
    messages += [asked, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    assert bound.invoke(messages).content.startswith("The tool says: sunny in")


def test_tools_in_a_stream(model):
    whole = None
    for chunk in chat(model).bind_tools([get_weather], tool_choice="any").stream("hm"):
        whole = chunk if whole is None else whole + chunk
    assert [c["name"] for c in whole.tool_calls] == ["get_weather"]
    assert isinstance(whole.tool_calls[0]["args"]["days"], int)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(model, method):
    assert isinstance(chat(model).with_structured_output(Person, method=method).invoke("Who?"), Person)


def test_responses_api(model):
    answer = chat(model, use_responses_api=True).invoke(script(text="Hello there"))
    assert answer.text == "Hello there"


def test_embeddings():
    embedder = OpenAIEmbeddings(
        model="fingerpost-static", base_url=f"{URL}/v1", api_key=CLIENT_KEY, check_embedding_ctx_length=False
    )
    one, two = embedder.embed_documents(["a cat", "a dog"])
    assert len(one) == len(two) > 0 and one != two
    assert embedder.embed_query("a cat") == pytest.approx(one)


@gateway_only
def test_unknown_model():
    with pytest.raises(openai.NotFoundError):
        chat("no-such-model").invoke("hi")


def test_rate_limit(model):
    with pytest.raises(openai.RateLimitError):
        chat(faulty(model)).invoke(script(status=429, headers=[["retry-after", "1"]]))


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_raises(model, how):
    if DIRECT and how == "clean_eof":
        pytest.skip("only a gateway notices the silent end")
    with pytest.raises(Exception):
        for _ in chat(faulty(model)).stream(broken_stream(how)):
            pass
