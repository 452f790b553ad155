"""The anthropic client, unchanged, against the server; and what its API looks like without it."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam, ToolChoiceParam, ToolParam

from pyggml.server.service import ServerOptions
from tests.e2e.serving import Served, served

MODEL = "demo"
MESSAGES: list[MessageParam] = [{"role": "user", "content": "What is 2 + 3?"}]
TOOL: ToolParam = {
    "name": "weather",
    "description": "Tell the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"enum": ["Rome", "Paris"]}}, "required": ["city"]},
}
GREEDY = {"temperature": 0}  # the newest client has no argument for it
BODY: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 60, "temperature": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(ServerOptions(api_keys=frozenset({"secret"}))) as server:
        server.client.headers["x-api-key"] = "secret"
        yield server


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="secret", max_retries=0) as client:
        yield client


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_and_its_stream(client: anthropic.Anthropic) -> None:
    options: dict[str, Any] = {"model": MODEL, "max_tokens": 20, "messages": MESSAGES, "system": "You add."}
    message = client.messages.create(**options, extra_body=GREEDY)
    assert text_of(message)
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 10
    with client.messages.stream(**options, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert text == text_of(last) == text_of(message)
    assert (last.stop_reason, last.usage.output_tokens) == (message.stop_reason, message.usage.output_tokens)


def test_stop_sequences(client: anthropic.Anthropic) -> None:
    whole = text_of(client.messages.create(model=MODEL, max_tokens=12, messages=MESSAGES, extra_body=GREEDY))
    stop = whole[2:5]
    message = client.messages.create(
        model=MODEL, max_tokens=12, messages=MESSAGES, extra_body=GREEDY, stop_sequences=[stop]
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)
    assert text_of(message) == whole.split(stop)[0]


def test_tools(client: anthropic.Anthropic) -> None:
    options: dict[str, Any] = {"model": MODEL, "max_tokens": 200, "tools": [TOOL], "extra_body": GREEDY}
    choice: ToolChoiceParam = {"type": "tool", "name": "weather"}
    message = client.messages.create(**options, messages=MESSAGES, tool_choice=choice)
    (block,) = message.content
    assert block.type == "tool_use"
    assert (message.stop_reason, block.name) == ("tool_use", "weather")
    assert block.input["city"] in ("Rome", "Paris")
    with client.messages.stream(**options, messages=MESSAGES, tool_choice=choice) as stream:
        kinds = [event.type for event in stream]
        (streamed,) = stream.get_final_message().content
    assert streamed.type == "tool_use"
    assert streamed.input == block.input
    assert kinds[0] == "message_start"
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    result = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "sunny"}]}
    talk: list[Any] = [
        *MESSAGES,
        {"role": "assistant", "content": [{"type": "text", "text": "Wait."}, block.to_dict()]},
        {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
    ]
    choices: list[ToolChoiceParam] = [{"type": "auto"}, {"type": "none"}, {"type": "any"}]
    for each in choices:
        assert client.messages.create(**options, messages=talk, tool_choice=each).content


def test_a_count_of_tokens(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=MESSAGES, system="You add.").input_tokens
    usage = client.messages.create(model=MODEL, messages=MESSAGES, system="You add.", max_tokens=1).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_json(server: Served) -> None:
    schema = {"type": "object", "properties": {"odd": {"type": "boolean"}}, "required": ["odd"]}
    form = {"type": "json_schema", "schema": schema}
    for more in ({"output_config": {"format": form}}, {"output_format": form}):
        (block,) = server.post("/v1/messages", **BODY, **more).json()["content"]
        assert json.loads(block["text"])["odd"] in (True, False)


def test_errors_have_the_api_s_shape(client: anthropic.Anthropic, server: Served) -> None:
    with pytest.raises(anthropic.BadRequestError, match="there is no tool 'f'"):
        client.messages.create(
            model=MODEL, max_tokens=1, messages=MESSAGES, tools=[TOOL], tool_choice={"type": "tool", "name": "f"}
        )
    with (
        anthropic.Anthropic(base_url=server.url, api_key="wrong") as stranger,
        pytest.raises(anthropic.AuthenticationError, match="Invalid API Key"),
    ):
        stranger.messages.create(model=MODEL, max_tokens=1, messages=MESSAGES)
    response = server.post("/v1/messages", max_tokens=1)
    assert response.status_code == 400
    assert response.json() == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "messages: Field required"},
    }
    assert server.client.get("/v1/messages/nothing").json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "user", "content": [{"type": "image"}]}], "messages[0].content[0].source: missing"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text: missing"),
        ([{"role": "user", "content": [{"type": "tool_use"}]}], "messages[0].content[0].name: missing"),
        ([{"role": "friend", "content": "a"}], "messages[0].role: "),
        ([], "messages: "),
    ],
)
def test_bad_messages(server: Served, messages: list[Any], message: str) -> None:
    response = server.post("/v1/messages", **{**BODY, "messages": messages})
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
