"""The openai client, unchanged, against the server."""

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam, ToolChoiceFunctionParam
from pydantic import BaseModel, Field

from pyggml.server.service import ServerOptions
from tests.e2e.serving import Served, served

MODEL = "demo"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is 2 + 3?"}]
PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rome", "Paris"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: ChatCompletionToolParam = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
RESPONSE_TOOL: FunctionToolParam = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}


class Sum(BaseModel):
    """What structured answers are read into."""

    total: int = Field(ge=0, le=99)
    parity: str = Field(pattern="^(odd|even)$")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    options = ServerOptions(api_keys=frozenset({"secret"}), aliases=(MODEL,), embeddings=True, pooling="mean")
    with served(options) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0) as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=12)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    *chunks, last = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        temperature=0,
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == answer.choices[0].message.content
    assert last.usage is not None
    assert last.usage.total_tokens == answer.usage.total_tokens


def test_tools(client: openai.OpenAI) -> None:
    messages = list(MESSAGES)
    answer = client.chat.completions.create(
        model=MODEL, messages=messages, temperature=0, max_tokens=200, tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )  # fmt: skip
    message = answer.choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Paris")
    messages += [
        {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": {
            "name": call.function.name, "arguments": call.function.arguments}}]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]  # fmt: skip
    last = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[TOOL], max_tokens=4, tool_choice="auto"
    )
    assert last.choices


def test_a_stream_of_a_call(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, temperature=0, max_tokens=200, tool_choice="required",
        tools=[{**TOOL, "function": {**TOOL["function"], "strict": True}}], parallel_tool_calls=False,
    ) as stream:  # fmt: skip
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    (call,) = answer.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Paris")


def test_a_pydantic_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, temperature=0, max_tokens=200, response_format=Sum
    )
    assert isinstance(answer.choices[0].message.parsed, Sum)


def test_logprobs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, temperature=0, max_tokens=5, logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [len(item.top_logprobs) for item in logprobs.content] == [2] * len(logprobs.content)
    assert logprobs.content[0].top_logprobs[0].logprob == logprobs.content[0].logprob <= 0


def test_responses(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model=MODEL, input="What is 2 + 3?", instructions="You add.", temperature=0, max_output_tokens=20
    )
    assert response.output_text
    assert response.usage is not None
    assert response.usage.input_tokens > 0
    assert response.status in ("completed", "incomplete")
    with client.responses.stream(
        model=MODEL, input="What is 2 + 3?", instructions="You add.", temperature=0, max_output_tokens=20
    ) as stream:
        events = list(stream)
        last = stream.get_final_response() if response.status == "completed" else None
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta") == response.output_text
    )
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == list(range(len(events)))
    assert last is None or last.output_text == response.output_text


def test_responses_with_a_pydantic_model(client: openai.OpenAI) -> None:
    response = client.responses.parse(
        model=MODEL, input=[{"role": "user", "content": "2 + 3?"}], temperature=0, text_format=Sum
    )
    assert isinstance(response.output_parsed, Sum)


def test_responses_with_tools(client: openai.OpenAI) -> None:
    choice: ToolChoiceFunctionParam = {"type": "function", "name": "weather"}
    with client.responses.stream(
        model=MODEL, input="Weather?", temperature=0, tools=[RESPONSE_TOOL], tool_choice=choice
    ) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    (call,) = response.output
    assert call.type == "function_call"
    assert json.loads(call.arguments)["city"] in ("Rome", "Paris")
    assert "response.function_call_arguments.delta" in kinds
    assert kinds[-3:] == ["response.function_call_arguments.done", "response.output_item.done", "response.completed"]
    again = client.responses.create(
        model=MODEL,
        max_output_tokens=4,
        tools=[RESPONSE_TOOL],
        input=[
            {"role": "user", "content": "Weather?"},
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
        ],
    )
    assert again.output


def test_embeddings(client: openai.OpenAI) -> None:
    both = client.embeddings.create(model=MODEL, input=["Ravi was", "a clever boy"])
    assert [len(item.embedding) for item in both.data] == [256, 256]
    assert both.data[0].embedding != both.data[1].embedding
    (alone,) = client.embeddings.create(model=MODEL, input="a clever boy", encoding_format="float").data
    assert alone.embedding == pytest.approx(both.data[1].embedding, abs=1e-6)


def test_counts_of_tokens(client: openai.OpenAI) -> None:
    counted = client.responses.input_tokens.count(model=MODEL, input="What is 2 + 3?").input_tokens
    usage = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=1).usage
    assert usage is not None
    assert counted == usage.prompt_tokens


def test_errors(client: openai.OpenAI, server: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot be enforced"):
        client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}},
        )
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model=MODEL, input="a", previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError, match="started without --mmproj"):
        client.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": [{"type": "input_image", "image_url": "data:,", "detail": "auto"}]}],
        )
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong") as stranger,
        pytest.raises(openai.AuthenticationError, match="Invalid API Key"),
    ):
        stranger.chat.completions.create(model=MODEL, messages=MESSAGES)
