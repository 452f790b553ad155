"""POST /completion over HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pyggml.server.service import ServerOptions
from tests.e2e.serving import Served, served

GREEDY: dict[str, Any] = {"prompt": "Ravi was", "temperature": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as server:
        yield server


def test_health(server: Served) -> None:
    response = server.client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_an_answer_and_its_stream_are_the_same(server: Served) -> None:
    whole = server.post("/completion", **GREEDY, n_predict=8, return_tokens=True).json()
    assert whole["content"].startswith(" a clever boy")
    assert (whole["stop"], whole["stop_type"], whole["tokens_predicted"]) == (True, "limit", 8)
    *chunks, last = server.events("/completion", **GREEDY, n_predict=8, stream=True)
    assert "".join(chunk["content"] for chunk in chunks) == whole["content"]
    assert [token for chunk in chunks for token in chunk["tokens"]] == whole["tokens"]
    assert (last["content"], last["stop_type"], last["timings"]["cache_n"]) == ("", "limit", 2)


def test_stop_strings_are_held_back(server: Served) -> None:
    events = server.events("/completion", **GREEDY, n_predict=20, stop=["ver b"], stream=True)
    assert "".join(event["content"] for event in events) == " a cle"
    assert (events[-1]["stop_type"], events[-1]["stopping_word"]) == ("word", "ver b")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": "a", "n_predct": 1}, "there is no field 'n_predct'; 'n_predict' was meant"),
        ({"prompt": "a", "temperature": "hot"}, "temperature: "),
        ({"prompt": "a", "n_predict": -3}, "n_predict: "),
        ({}, "prompt: "),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": [999999]}, "token 999999 is not in the vocabulary"),
        ({"prompt": "a", "top_k": 2**40}, "top_k is 1099511627776"),
        ({"prompt": "a", "id_slot": 9}, "slot 9 does not exist"),
    ],
)
def test_bad_requests_name_the_field(server: Served, body: dict[str, Any], message: str) -> None:
    response = server.post("/completion", **body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (400, 400, "invalid_request_error")
    assert message in error["message"]


def test_a_prompt_that_is_too_long(server: Served) -> None:
    response = server.post("/completion", prompt="a " * 600)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "exceed_context_size_error")
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (601, 512)
    assert "the prompt is too long: 601 tokens" in error["message"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"1", b'{"prompt": "\xff"}', b""])
def test_bodies_that_are_no_objects(server: Served, content: bytes) -> None:
    response = server.client.post("/completion", content=content)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


def test_bytes_that_are_no_text(server: Served) -> None:
    response = server.client.post("/completion", content=b'{"prompt": "\xff"}')
    assert (response.status_code, response.json()["error"]["message"]) == (400, "body: it is no JSON in UTF-8")


def test_unknown_paths(server: Served) -> None:
    response = server.client.get("/nothing")
    assert response.json() == {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}


def test_a_client_that_leaves_frees_its_slot(server: Served) -> None:
    lines = server.stream("/completion", prompt="Ravi was", ignore_eos=True, stream=True)
    next(lines)
    lines.close()  # type: ignore[attr-defined]  # it is a generator
    deadline = time.monotonic() + 1  # to the end of the context it would take longer
    while any(slot.request for slot in server.service.scheduler.slots()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.service.scheduler.counters.n_tokens_max < 400


def test_keys() -> None:
    with served(ServerOptions(api_keys=frozenset({"one", "two"}))) as server:
        assert server.client.get("/health").status_code == 200
        response = server.post("/completion", **GREEDY, n_predict=1)
        assert response.json()["error"] == {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}
        for headers in ({"Authorization": "Bearer two"}, {"X-Api-Key": "one"}):
            body = {**GREEDY, "n_predict": 1}
            assert server.client.post("/completion", json=body, headers=headers).status_code == 200
