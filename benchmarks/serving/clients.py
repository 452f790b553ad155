"""Clients that do as little as can be, as they share the machine with the server: sockets, and no reading of JSON."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import numpy as np

from benchmarks.errors import BenchmarkError

#: The last event, which has all settings and the prompt in it, is shorter.
_KEPT_BYTES = 1 << 14
_SHOWN_BYTES = 500


@dataclass(frozen=True)
class Request:
    """An answer of `n_predict` tokens, whatever the model says, to a prompt of tokens."""

    prompt: tuple[int, ...]
    n_predict: int
    reuse: bool = True

    def body(self) -> bytes:
        """As llama-server's POST /completion has it, with its own sampling."""
        fields = {"prompt": self.prompt, "n_predict": self.n_predict, "cache_prompt": self.reuse}
        return json.dumps({**fields, "ignore_eos": True, "stream": True, "seed": 1}).encode()


@dataclass(frozen=True)
class Answer:
    """The seconds from a request to the first event with a token, and to the last event."""

    first: float
    total: float


@dataclass(frozen=True)
class Load:
    """What many clients got: their answers, and the seconds that all took together."""

    answers: tuple[Answer, ...]
    seconds: float


def random_requests(
    n: int, n_prompt: int, n_predict: int, n_vocab: int, seed: int, *, reuse: bool = True
) -> list[Request]:
    """Requests whose prompts have nothing in common."""
    random = np.random.default_rng(seed)
    return [Request(tuple(random.integers(n_vocab, size=n_prompt).tolist()), n_predict, reuse) for _ in range(n)]


def run_clients(port: int, n_clients: int, requests: Sequence[Request]) -> Load:
    """Have clients send the requests, each one after the other as soon as it has its answer. Raises BenchmarkError."""
    return asyncio.run(_run(port, n_clients, requests))


async def _run(port: int, n_clients: int, requests: Sequence[Request]) -> Load:
    todo = iter(requests)
    answers: list[Answer] = []

    async def client() -> None:
        for request in todo:
            answers.append(await ask(port, request))

    start = perf_counter()
    await asyncio.gather(*(client() for _ in range(n_clients)))
    return Load(tuple(answers), perf_counter() - start)


async def ask(port: int, request: Request) -> Answer:
    """Send a request on a connection of its own, and read its answer. Raises BenchmarkError if it is no whole one."""
    body = request.body()
    head = (
        f"POST /completion HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    start = perf_counter()
    _, reader = await asyncio.get_running_loop().create_connection(
        lambda: _Reader(head.encode() + body), "127.0.0.1", port
    )
    await reader.finished
    if f'"tokens_predicted":{request.n_predict},'.encode() not in reader.last:
        shown = reader.last[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise BenchmarkError(f"an answer does not end with {request.n_predict} tokens, but with {shown!r}")
    return Answer(reader.first_time - start, reader.last_time - start)


class _Reader(asyncio.Protocol):
    """Sends a request, and notes when its answer arrives until the connection is closed."""

    def __init__(self, request: bytes) -> None:
        self.finished = asyncio.get_running_loop().create_future()
        self.first_time = self.last_time = 0.0
        self.last = b""
        """The end of the answer."""
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take in a piece, which is an event or part of one."""
        self.last_time = perf_counter()
        if not self.first_time and b"data:" in data:
            self.first_time = self.last_time
        self.last = (self.last + data)[-_KEPT_BYTES:]

    def connection_lost(self, error: Exception | None) -> None:
        """The answer is there."""
        self.finished.set_result(None)
