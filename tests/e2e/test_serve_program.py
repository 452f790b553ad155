"""The program: addresses, signals, its log, and models that cannot be loaded."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import running_server

ENDLESS: dict[str, Any] = {"prompt": "Ravi was", "ignore_eos": True, "n_predict": 300, "stream": True}


def test_sigterm_lets_a_running_request_finish() -> None:
    with running_server("--shutdown-timeout", "60") as server, server.client() as client:
        with client.stream("POST", "/completion", json=ENDLESS) as response:
            lines = response.iter_lines()
            next(lines)
            server.end()
            *_, last = (json.loads(line.removeprefix("data: ")) for line in lines if line)
        assert (last["stop"], last["tokens_predicted"]) == (True, 300)
        assert server.wait() == 0
        assert "shutting down: 1 requests are running and may take 60 s more" in "".join(server.log)
        assert "all requests were finished" in "".join(server.log)


def test_what_takes_longer_is_cut_off() -> None:
    with running_server("--shutdown-timeout", "0", "--context-shift") as server, server.client() as client:
        with client.stream("POST", "/completion", json={**ENDLESS, "n_predict": -1}) as response:
            lines = response.iter_lines()
            next(lines)
            server.end(signal.SIGINT)
            *_, last = (json.loads(line.removeprefix("data: ")) for line in lines if line)
        assert last["error"]["code"] == 503
        assert "shut down before the answer was finished" in last["error"]["message"]
        assert server.wait() == 0
        assert "cut off" in "".join(server.log)


def test_a_second_signal_ends_it_at_once() -> None:
    with running_server("--context-shift") as server, server.client() as client:
        with client.stream("POST", "/completion", json={**ENDLESS, "n_predict": -1}) as response:
            lines = response.iter_lines()
            next(lines)
            server.end()
            while not any("shutting down" in line for line in server.log):
                next(lines)
            server.end()
            *_, last = (json.loads(line.removeprefix("data: ")) for line in lines if line)
        assert last["error"]["code"] == 503
        assert server.wait() == 0


def test_each_request_has_a_line_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_server("--log-format", "json", "--log-file", str(log)) as server:
        with server.client() as client:
            client.post("/completion", json={"prompt": "Ravi was", "n_predict": 3, "temperature": 0})
            client.get("/health")
            client.post("/completion", json={})
        server.end()
        server.wait()
    first, second, *_ = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    assert (first["method"], first["path"], first["status"], second["status"]) == ("POST", "/completion", 200, 400)
    (answer,) = first["answers"]
    assert (answer["reason"], answer["predicted_n"], answer["prompt_n"]) == ("length", 3, 3)
    assert first["ms"] > 0
    assert first["level"] == "info"


def test_a_unix_socket_and_an_address_at_once(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with running_server("--host", f"127.0.0.1,{path}") as server:
        assert server.place == str(path)
        with server.client() as client:
            assert client.get("/health").json() == {"status": "ok"}
            client.post("/completion", json={"prompt": "Ravi was", "n_predict": 2})
        server.end()
        assert server.wait() == 0
    assert not path.exists()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


def test_https(certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    with running_server("--ssl-key-file", str(key), "--ssl-cert-file", str(cert)) as server:
        assert server.place.startswith("https://")
        with server.client(verify=ssl.create_default_context(cafile=str(cert))) as client:
            assert client.get("/health").json() == {"status": "ok"}
        server.end()
        assert server.wait() == 0


def test_answers_are_sent_at_once() -> None:
    """A socket that waits for more to send takes 40 ms for each answer."""
    with running_server() as server, server.client() as client:
        client.get("/health")
        began = time.perf_counter()
        for _ in range(50):
            client.get("/health")
        assert time.perf_counter() - began < 50 * 0.02


def fails(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pyggml", "serve", "--port", "0", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stderr


def test_models_that_cannot_be_loaded(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    for path in (broken, tmp_path / "none.gguf"):
        status, said = fails("-m", str(path))
        assert status == 1
        assert said.startswith("pyggml: error: ")
        assert path.name in said
        assert "Traceback" not in said


def test_addresses_that_are_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, said = fails("--port", str(taken.getsockname()[1]))
        assert (status, "nothing can listen at 127.0.0.1:" in said) == (2, True)
    path = tmp_path / "taken.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        status, said = fails("--host", str(path))
        assert (status, f"nothing can listen at {path}: Address already in use" in said) == (2, True)
    assert path.exists()
    status, said = fails("--host", "no such name")
    assert (status, "nothing can listen at no such name" in said) == (2, True)


def test_the_context_is_divided_among_slots() -> None:
    with running_server("-c", "1000", "-np", "3") as server, server.client() as client:
        assert client.get("/props").json()["default_generation_settings"]["n_ctx"] == 512
        assert len(client.get("/slots").json()) == 3
    unified = ("-c", "1000", "-np", "3", "-kvu", "--alias", "b,a", "--no-slots")
    with running_server(*unified) as server, server.client() as client:
        assert client.get("/props").json()["default_generation_settings"]["n_ctx"] == 1024
        assert client.get("/v1/models").json()["data"][0]["id"] == "a"
        assert client.get("/slots").status_code == 501


def test_a_reader_that_stands_still_holds_up_nobody() -> None:
    """Its answer goes on in the server's memory, and ends; others are answered meanwhile."""
    with running_server("-np", "2", "-kvu", "--timeout", "2") as server:
        host, port = server.place.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as still, server.client() as client:
            still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            body = json.dumps({**ENDLESS, "n_predict": 400}).encode()
            head = f"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            still.sendall(head.encode() + body)
            for _ in range(20):
                answer = client.post("/completion", json={"prompt": "The fox", "n_predict": 4}).json()
                assert answer["stop_type"] in ("limit", "eos")
            states = client.get("/slots").json()
            while any(each["is_processing"] for each in states):
                states = client.get("/slots").json()


def test_clients_that_stop_sending_are_given_up() -> None:
    with running_server("--timeout", "0.3") as server:
        host, port = server.place.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as half:
            half.sendall(b"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert b" 408 " in half.recv(4096).split(b"\r\n")[0]


def test_help_names_what_llama_server_has() -> None:
    arguments = ["-fa", "on", "--cont-batching", "--cache-reuse", "0", "-sps", "0.5", "-m", os.devnull]
    status, said = fails(*arguments)
    assert status == 1
    for name in ("--flash-attn", "--cont-batching", "--cache-reuse", "--slot-prompt-similarity"):
        assert f"{name} has no effect" in said
