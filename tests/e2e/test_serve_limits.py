"""Bodies that are too large, queues that are full, clients of other origins."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pyggml.chat import ChatTemplate
from pyggml.server.cors import CorsOptions
from pyggml.server.service import ServerOptions, shown_file_type
from tests.e2e.serving import Served, served

ENDLESS: dict[str, Any] = {"prompt": "Ravi was", "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(ServerOptions(max_body=1 << 20, context_shift=True), n_slots=1, n_queue=1) as server:
        yield server


@pytest.mark.parametrize("n_bytes", [(1 << 20) + 1, 100 << 20])
def test_a_body_that_is_too_large(server: Served, n_bytes: int) -> None:
    response = server.client.post("/completion", content=bytes(n_bytes))
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (413, "invalid_request_error")
    assert f"the body is too large: content-length {n_bytes}, allowed are 1048576 bytes" in error["message"]
    assert server.client.get("/health").status_code == 200


def test_a_full_queue(server: Served) -> None:
    running = server.stream("/completion", **ENDLESS, n_predict=-1)
    next(running)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(server.post, "/completion", prompt="The fox", n_predict=1)
        while not server.service.scheduler.n_waiting:
            next(running)
        response = server.post("/completion", prompt="The fox", n_predict=1)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["error"]["type"] == "unavailable_error"
        assert "1 requests are waiting, as many as may" in response.json()["error"]["message"]
        running.close()  # type: ignore[attr-defined]  # it is a generator
        assert waiting.result(60).json()["tokens_predicted"] == 1


def test_slots_that_are_all_busy(server: Served) -> None:
    assert server.client.get("/slots?fail_on_no_slot=1").status_code == 200
    running = server.stream("/completion", **ENDLESS, n_predict=-1)
    next(running)
    response = server.client.get("/slots?fail_on_no_slot=1")
    assert (response.status_code, response.json()["error"]["message"]) == (503, "no slot available")
    running.close()  # type: ignore[attr-defined]  # it is a generator


def test_other_origins_are_allowed_as_llama_server_does(server: Served) -> None:
    response = server.client.get("/health", headers={"Origin": "http://a.b"})
    assert response.headers["access-control-allow-origin"] == "http://a.b"
    response = server.client.options("/completion", headers={"Origin": "http://a.b"})
    assert response.status_code == 200
    shown = {name: value for name, value in response.headers.items() if name.startswith("access-control")}
    assert shown == {
        "access-control-allow-origin": "http://a.b",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
        "access-control-allow-headers": "*",
    }


@pytest.mark.parametrize(
    ("options", "origin", "allowed"),
    [
        (CorsOptions("localhost"), "http://localhost:3000", "http://localhost:3000"),
        (CorsOptions("localhost"), "http://[::1]:1", "http://[::1]:1"),
        (CorsOptions("localhost"), "http://localhost.evil.com", None),
        (CorsOptions("localhost"), "http://[", None),
        (CorsOptions("localhost"), None, None),
        (CorsOptions("http://a, http://b"), "http://b", "http://b"),
        (CorsOptions("http://a, http://b"), "http://c", None),
        (CorsOptions("http://a"), "http://c", "http://a"),
        (CorsOptions(credentials=False), "http://c", "*"),
        (CorsOptions(), None, None),
    ],
)
def test_which_origins(options: CorsOptions, origin: str | None, allowed: str | None) -> None:
    assert options.origin_header(origin) == allowed


def test_long_prompts_are_read_beside_the_event_loop(server: Served) -> None:
    text = "Ravi was a curious boy. " * 4000
    response = server.post("/tokenize", content=text)
    assert server.post("/detokenize", tokens=response.json()["tokens"]).json()["content"] == text


def test_streams_show_that_they_live() -> None:
    with served(ServerOptions(ping_seconds=0.05), n_slots=1) as server:
        running = server.stream("/completion", **ENDLESS, n_predict=300, sse_ping_interval=-1)
        next(running)
        lines = server.stream("/completion", prompt="The fox", n_predict=1, stream=True, temperature=0)
        with ThreadPoolExecutor(1) as thread:
            said = thread.submit(list, lines)
            assert ":" not in list(running)
        # The second request waited without a slot: its headers were not even sent.
        assert said.result(60)[-1].startswith("data: ")


def test_another_chat_template() -> None:
    template = ChatTemplate.from_text("{% for m in messages %}[{{ m.content }}]{{ mood }}{% endfor %}", "", "")
    with served(ServerOptions(chat_template=template), n_slots=1) as server:
        body = {"messages": [{"role": "user", "content": "Hi"}], "chat_template_kwargs": {"mood": "!"}}
        assert server.post("/apply-template", **body).json() == {"prompt": "[Hi]!"}
        assert server.client.get("/props").json()["chat_template"] == template.source


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "all F32"), (1, "F16"), (7, "Q8_0"), (15, "Q4_K - Medium"), (14, "Q4_K - Small"), (-1, "unknown")],
)
def test_file_types_are_called_as_llama_cpp_does(number: int, name: str) -> None:
    assert shown_file_type(number) == name
