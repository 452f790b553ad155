"""The chat page over a stand-in for the engine: it answers what a test tells it to, when the test tells it to."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pyggml.server.auth import KeyCheck
from pyggml.server.chat_page import add_pages
from pyggml.server.errors import ApiError

KEY = "correct horse"


@dataclass
class FakeChat:
    """What the next answers are, and what was asked."""

    url: str = ""
    pieces: list[str] = field(default_factory=lambda: ["Hello", " from", " the", " fake."])
    hold_after: int | None = None
    """So many pieces are sent before `release` is waited for."""
    release: Event = field(default_factory=Event)
    failure: ApiError | None = None
    """Answered instead."""
    late_failure: ApiError | None = None
    """Sent after the pieces."""
    is_cut: bool = False
    """The stream ends after the pieces, without its end."""
    finish_reason: str = "stop"
    sees_pictures: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    left: Event = field(default_factory=Event)
    """A client left before the end of an answer."""

    async def events(self) -> AsyncIterator[str]:
        """An answer as OpenAI's API streams it, with llama-server's timings."""
        is_over = False
        try:
            async for event in self._events():
                yield event
            is_over = True
        finally:
            if not is_over:
                self.left.set()

    async def _events(self) -> AsyncIterator[str]:
        yield _chunk({"role": "assistant", "content": None})
        for n_sent, piece in enumerate(self.pieces):
            while n_sent == self.hold_after and not self.release.is_set():
                await asyncio.sleep(0.01)
            yield _chunk({"content": piece}, timings=_timings(n_sent + 1))
        if self.late_failure:
            yield f"data: {json.dumps(self.late_failure.body)}\n\n"
        elif not self.is_cut:
            yield ":\n\n" + _chunk({}, self.finish_reason, timings=_timings(len(self.pieces)))
            yield "data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice], **more})}\n\n"


def _timings(n_predicted: int) -> dict[str, float]:
    return {"cache_n": 7, "prompt_n": 5, "predicted_n": n_predicted, "predicted_per_second": 42.5}


def _create_app(chat: FakeChat, keys: tuple[str, ...]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(KeyCheck, keys=keys)
    add_pages(app)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "fake-8b", "object": "model"}]}

    @app.get("/props")
    async def props() -> dict[str, Any]:
        params = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "seed": 4294967295, "n_predict": -1}
        settings = {"n_ctx": 4096, "params": params}
        return {"default_generation_settings": settings, "modalities": {"vision": chat.sees_pictures}}

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(request: Request) -> Response:
        chat.requests.append(await request.json())
        if chat.failure:
            return JSONResponse(chat.failure.body, chat.failure.status)
        return StreamingResponse(chat.events(), media_type="text/event-stream")

    return app


@contextmanager
def fake_chat(*keys: str) -> Iterator[FakeChat]:
    """Serve until the block is left."""
    chat = FakeChat()
    listener = socket.create_server(("127.0.0.1", 0))
    chat.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    config = uvicorn.Config(_create_app(chat, keys), log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield chat
    finally:
        chat.release.set()
        server.should_exit = True
        thread.join()
        listener.close()
