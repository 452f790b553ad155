"""langchain-openai, unchanged, against the server."""

from collections.abc import Iterator
from typing import Literal

import pytest
from langchain_core.messages.ai import AIMessageChunk, add_ai_message_chunks
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

from tests.e2e.serving import served


class Weather(BaseModel):
    """Tell the weather of a city."""

    city: str = Field(pattern="^(Rome|Paris)$")


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatOpenAI]:
    with served() as server:
        yield ChatOpenAI(
            base_url=f"{server.url}/v1",
            api_key=SecretStr("none"),
            model="demo",
            temperature=0,
            max_completion_tokens=60,
        )


def test_chat_and_stream(chat: ChatOpenAI) -> None:
    answer = chat.invoke("What is 2 + 3?")
    assert answer.text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.text for chunk in chat.stream("What is 2 + 3?")) == answer.text


def test_tools(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([Weather], tool_choice="Weather")
    (call,) = bound.invoke("Weather?").tool_calls
    assert call["name"] == "Weather"
    assert call["args"]["city"] in ("Rome", "Paris")
    first, *rest = bound.stream("Weather?")
    assert isinstance(first, AIMessageChunk)
    whole = add_ai_message_chunks(first, *(chunk for chunk in rest if isinstance(chunk, AIMessageChunk)))
    assert [each["args"] for each in whole.tool_calls] == [call["args"]]


METHODS: list[Literal["json_schema", "function_calling"]] = ["json_schema", "function_calling"]


@pytest.mark.parametrize("method", METHODS)
def test_structured_output(chat: ChatOpenAI, method: Literal["json_schema", "function_calling"]) -> None:
    assert isinstance(chat.with_structured_output(Weather, method=method).invoke("Weather?"), Weather)
