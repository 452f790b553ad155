"""Many clients of all kinds at once: each gets what it would get alone, and nothing is left behind."""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.serving import Served, served

SENTENCES = (
    *("Ravi was a curious boy.", "The fox lived near the lighthouse.", "Mira had a red lantern.", "It was raining."),
    *("Nobody knew why.", "The sky was gray and quiet.", "One day, a letter came.", "They went to the old harbor."),
)
MALFORMED = (b"{", b"[]", b'{"prompt": 5}', b'{"prompt": "a", "n_predict": -9}', b'{"prompt": "a", "temperature": "x"}')
AT_A_TIME = 64


@dataclass(frozen=True)
class Client:
    """What one client does: it asks and reads, or leaves midway, or asks for nonsense."""

    kind: str
    body: dict[str, Any]


def clients(n: int) -> list[Client]:
    """A fifth leave, a tenth ask for nonsense; there are so few different bodies that each can be asked for alone."""
    choose = random.Random(1)
    bodies = [
        {
            "prompt": " ".join(choose.choices(SENTENCES, k=choose.choice((1, 2, 4, 12, 24)))),
            "n_predict": choose.choice((1, 5, 20, 40)),
            "temperature": choose.choice((0, 0.8, 1.5)),
            "seed": index,
            "n_probs": choose.choice((0, 0, 2)),
        }
        for index in range(24)
    ]
    kinds = ["leaves"] * (n // 5) + ["malformed"] * (n // 10)
    kinds += ["reads", "streams"] * n
    kinds = kinds[:n]
    choose.shuffle(kinds)
    return [Client(kind, choose.choice(bodies)) for kind in kinds]


def answer_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on anything else."""
    return {name: answer.get(name) for name in ("content", "stop_type", "tokens", "completion_probabilities")}


async def ask(http: httpx.AsyncClient, client: Client, index: int) -> dict[str, Any] | None:
    """Do what a client does; gives its answer, if it reads one."""
    if client.kind == "malformed":
        response = await http.post("/completion", content=MALFORMED[index % len(MALFORMED)])
        assert response.status_code == 400, response.text
        return None
    if client.kind == "leaves":
        body = {**client.body, "stream": True, "ignore_eos": True, "n_predict": 200}
        async with http.stream("POST", "/completion", json=body) as stream:
            async for _ in stream.aiter_lines():
                break
        return None
    is_stream = client.kind == "streams"
    response = await http.post("/completion", json={**client.body, "stream": is_stream, "return_tokens": True})
    assert response.status_code == 200, response.text
    if not is_stream:
        return answer_of(response.json())
    return joined([httpx.Response(200, content=line[6:]).json() for line in response.text.split("\n") if line])


def joined(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a stream says, as the answer that is no stream says it."""
    *pieces, last = events
    probabilities = [item for piece in pieces for item in piece.get("completion_probabilities", [])]
    return {
        "content": "".join(piece["content"] for piece in pieces),
        "stop_type": last["stop_type"],
        "tokens": [token for piece in pieces for token in piece["tokens"]],
        "completion_probabilities": probabilities or None,
    }


async def ask_all(server: Served, todo: Sequence[Client]) -> list[dict[str, Any] | None]:
    """All clients' answers, so many of them at a time."""
    gate = asyncio.Semaphore(AT_A_TIME)
    limits = httpx.Limits(max_connections=AT_A_TIME)
    async with httpx.AsyncClient(base_url=server.url, timeout=300, trust_env=False, limits=limits) as http:

        async def one(client: Client, index: int) -> dict[str, Any] | None:
            async with gate:
                return await ask(http, client, index)

        return await asyncio.gather(*(one(client, index) for index, client in enumerate(todo)))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(n: int) -> None:
    todo = clients(n)
    with served(n_slots=8, n_queue=AT_A_TIME) as server:
        expected: dict[int, dict[str, Any]] = {}
        for client in todo:
            seed = client.body["seed"]
            if seed not in expected:
                server.service.scheduler.forget_all()
                expected[seed] = answer_of(server.post("/completion", **client.body, return_tokens=True).json())
        answers = asyncio.run(ask_all(server, todo[:100]))
        first = resident_bytes()
        answers += asyncio.run(ask_all(server, todo[100:]))
        last = resident_bytes()
        for client, answer in zip(todo, answers, strict=True):
            if client.kind in ("reads", "streams"):
                assert answer == expected[client.body["seed"]], client
        assert all(slot.request is None for slot in server.service.scheduler.slots())
        assert server.service.scheduler.n_waiting == 0
        assert last < first * 1.05, f"{first / 1e6:.1f} MB after 100 requests, {last / 1e6:.1f} MB at the end"


def test_a_hundred_requests() -> None:
    run(100)


@pytest.mark.slow
def test_a_thousand_requests() -> None:
    run(1000)
