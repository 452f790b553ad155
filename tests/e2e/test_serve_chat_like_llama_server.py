"""Chats and grammars, to llama-server and to pyggml: the same texts, names and types."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.llama_server import llama_server, said_by, shape_of
from tests.e2e.serving import Served, served

USER = {"role": "user", "content": "What is 2 + 3?"}
CHAT: dict[str, Any] = {"messages": [USER], "temperature": 0, "max_tokens": 8}
DIGITS = 'root ::= " "? [0-9]+ ("," " " [0-9]+){2} "."'
STORY = 'root ::= (" " word)+ "."\nword ::= [a-z]{2,6} | "I"'
#: What only one of them has, or another moment makes different.
VARYING = frozenset({"timings", "created", "id", "model", "system_fingerprint", "cached_tokens"})


@pytest.fixture(scope="module")
def theirs() -> Iterator[httpx.Client]:
    with llama_server() as client:
        yield client


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as server:
        yield server


def both(server: Served, theirs: httpx.Client, path: str, body: Any) -> tuple[Any, Any]:
    """What the two say; the statuses are equal."""
    own, other = (client.post(path, json=body) for client in (server.client, theirs))
    assert own.status_code == other.status_code, (own.text, other.text)
    return said_by(own), said_by(other)


def fixed(value: Any) -> Any:
    """An answer without what may vary."""
    if isinstance(value, dict):
        return {name: fixed(item) for name, item in value.items() if name not in VARYING}
    return [fixed(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("grammar", [DIGITS, STORY])
@pytest.mark.parametrize("prompt", ["Ravi was", "2 + 3 =", "Once upon a time"])
def test_grammars_bind_as_llama_cpp_s(server: Served, theirs: httpx.Client, grammar: str, prompt: str) -> None:
    body = {"prompt": prompt, "n_predict": 24, "temperature": 0, "grammar": grammar, "cache_prompt": False}
    own, other = both(server, theirs, "/completion", body)
    assert (own["content"], own["stop_type"]) == (other["content"], other["stop_type"])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 2, "seed": 3, "temperature": 1.0},
        {"logprobs": True, "top_logprobs": 2},
        {"stop": [" "]},
        {"messages": [{"role": "system", "content": "Be brief."}, USER]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "2 +"}, {"type": "text", "text": "3?"}]}]},
        {"grammar": DIGITS, "max_tokens": 16},
        {"messages": []},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_chats(server: Served, theirs: httpx.Client, more: dict[str, Any], stream: bool) -> None:
    own, other = both(server, theirs, "/v1/chat/completions", {**CHAT, **more, "stream": stream})
    if "logprobs" in more:
        assert shape_of(own) == shape_of(other)
    elif "n" in more:  # the answers come in any order; llama-server counts the tokens of one of them only
        own, other = (sorted(map(str, fixed(each))) if stream else fixed(each["choices"]) for each in (own, other))
        assert own == other
    else:
        assert fixed(own) == fixed(other)


def test_an_answer_that_is_begun(server: Served, theirs: httpx.Client) -> None:
    """The stream of llama-server has what is new, its whole answer the beginning, too; here both have what is new."""
    messages = [USER, {"role": "assistant", "content": "2 + 3"}]
    own, other = both(server, theirs, "/v1/chat/completions", {**CHAT, "messages": messages})
    texts = [answer["choices"][0]["message"]["content"] for answer in (own, other)]
    assert "2 + 3" + texts[0] == texts[1]


@pytest.mark.parametrize(
    "body",
    [
        {**CHAT, "response_format": {"type": "xml"}},
        {**CHAT, "grammar": "root ::= other"},
        {**CHAT, "json_schema": {}, "grammar": DIGITS},
        {**CHAT, "top_logprobs": 2},
        {**CHAT, "messages": "Hi"},
        {"messages": [{"role": "user"}]},
    ],
)
def test_what_both_refuse(server: Served, theirs: httpx.Client, body: dict[str, Any]) -> None:
    responses = [client.post("/v1/chat/completions", json=body) for client in (server.client, theirs)]
    assert responses[0].status_code == 400
    assert responses[1].status_code >= 400
    assert shape_of(responses[0].json()) == shape_of(responses[1].json())
