"""A server on 127.0.0.1 in a thread of the test's own process, with the model inside the package."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import uvicorn

import pyggml
from pyggml.engine import Scheduler, SchedulerOptions
from pyggml.server.application import create_app
from pyggml.server.listening import Listening
from pyggml.server.service import ServerOptions, Service


@dataclass(frozen=True)
class Served:
    """A running server, and what is behind it."""

    url: str
    service: Service
    client: httpx.Client

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Post JSON."""
        return self.client.post(path, json=body)

    def stream(self, path: str, **body: Any) -> Iterator[str]:
        """The lines of a stream that say something."""
        with self.client.stream("POST", path, json=body) as response:
            yield from (line for line in response.iter_lines() if line)

    def events(self, path: str, **body: Any) -> list[dict[str, Any]]:
        """The data of a stream whose events have no names."""
        return [json.loads(line.removeprefix("data: ")) for line in self.stream(path, **body)]


@contextmanager
def served(
    options: ServerOptions | None = None,
    *,
    path: Path | None = None,
    mmproj: Path | None = None,
    n_ctx: int = 512,
    n_slots: int = 4,
    n_queue: int = 16,
) -> Iterator[Served]:
    """Serve until the block is left; then all pages of the cache must be free or held by idle contexts."""
    model = pyggml.load(
        path or pyggml.demo_model(),
        mmproj=mmproj,
        n_ctx=n_ctx,
        n_cache=n_ctx * n_slots,
        n_sequences=n_slots,
        n_ubatch=64,
    )
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots, n_queue))
    scheduler.start()
    service = Service(model, scheduler, options or ServerOptions())
    listeners = Listening(port=0).bind()
    server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, access_log=False))
    thread = Thread(target=lambda: asyncio.run(server.serve(listeners.sockets)))
    thread.start()
    (url,) = listeners.addresses(encrypted=False)
    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield Served(url, service, client)
    finally:
        server.should_exit = True
        thread.join()
        scheduler.stop(0)
        listeners.close()
    scheduler.forget_all()
    assert model.engine.pool.n_free == n_ctx * n_slots // 64
