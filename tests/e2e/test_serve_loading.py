"""What clients are told before the model is loaded, and pages, paths and ends of answers that options decide."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from pyggml.server.cors import CorsOptions
from pyggml.server.listening import Listening
from pyggml.server.loading import told_to_wait
from pyggml.server.service import ServerOptions
from tests.e2e.serving import served

LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}


@contextmanager
def clients() -> Iterator[tuple[httpx.Client, Listening, list[socket.socket]]]:
    listening = Listening(port=0)
    listeners = listening.bind()
    (url,) = listeners.addresses(encrypted=False)
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield client, listening, listeners.sockets
    finally:
        listeners.close()


def test_everything_is_503() -> None:
    with clients() as (client, listening, sockets), told_to_wait(listening, sockets, CorsOptions()):
        for method, path in (("GET", "/health"), ("GET", "/"), ("POST", "/v1/chat/completions"), ("GET", "/none")):
            response = client.request(method, path, headers={"Origin": "http://a.b"})
            assert (response.status_code, response.json()) == (503, LOADING)
            assert response.headers["retry-after"] == "1"
            assert response.headers["access-control-allow-origin"] == "http://a.b"
        told = client.post("/v1/messages", json={}).json()
        assert told == {"type": "error", "error": {"type": "overloaded_error", "message": "Loading model"}}


def test_the_sockets_go_on_listening() -> None:
    with clients() as (client, listening, sockets):
        for _ in range(3):
            with told_to_wait(listening, sockets, CorsOptions()):
                assert client.get("/health").status_code == 503


def test_the_program_answers_while_it_loads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pyggml", "serve", "--port", str(port), "-c", "512"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    statuses = []
    deadline = time.monotonic() + 60
    try:
        while 200 not in statuses:
            assert time.monotonic() < deadline
            try:
                response = httpx.get(f"http://127.0.0.1:{port}/health", timeout=30, trust_env=False)
            except httpx.ConnectError:
                time.sleep(0.005)
                continue
            statuses.append(response.status_code)
            assert response.status_code == 200 or response.json() == LOADING
    finally:
        process.kill()
        process.wait()
    assert statuses[0] == 503
    assert statuses == sorted(statuses, reverse=True)


def test_without_pages() -> None:
    with served(ServerOptions(page=False), n_slots=1) as server:
        for path in ("/", "/docs", "/page/main.js"):
            response = server.client.get(path)
            assert response.status_code == 404
            assert response.json()["error"]["message"] == "File Not Found"
        assert server.client.get("/openapi.json").status_code == 200


def test_below_a_path() -> None:
    with served(ServerOptions(prefix="/llm", api_keys=frozenset({"secret"})), n_slots=1) as server:
        for path in ("/health", "/v1/models", "/llmhealth", "/"):
            assert server.client.get(path).status_code == 404
        for path in ("/llm/health", "/llm/", "/llm/page/main.js"):
            assert server.client.get(path).status_code == 200
        assert server.client.get("/llm/v1/models").status_code == 401
        response = server.client.get("/llm/v1/models", headers={"X-Api-Key": "secret"})
        assert response.status_code == 200


@pytest.mark.parametrize(("stop", "reason"), [({}, "boy"), ({"stop": []}, "boy"), ({"stop": "clever"}, "clever")])
def test_where_answers_end_unless_the_request_says(stop: dict[str, object], reason: str) -> None:
    with served(ServerOptions(stop=("boy",)), n_slots=1) as server:
        body = {"prompt": "Ravi was a", "temperature": 0, "n_predict": 40, **stop}
        answer = server.post("/completion", **body).json()
        assert (answer["stop_type"], answer["stopping_word"]) == ("word", reason)
