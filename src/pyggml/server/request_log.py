"""One line for each request: who asked for what, how it ended, and what it took."""

import logging
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, TypeVar

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyggml.engine import DoneEvent
from pyggml.server.timings import timings_json

_logger = logging.getLogger("pyggml.server.requests")
_STATE = "pyggml.answers"
#: The status of a request that its client gave up before there was an answer.
_NO_ANSWER = 499
#: Asked for again and again by those who watch the server: not worth a line unless they fail.
_WATCHED = frozenset({"/health", "/v1/health", "/metrics", "/slots", "/props", "/models", "/v1/models"})
Item = TypeVar("Item")


async def noted(client: Request, events: AsyncIterator[tuple[int, Item]]) -> AsyncIterator[tuple[int, Item]]:
    """Pass events on, noting for the request's line how answers ended."""
    async for index, event in events:
        if isinstance(event, DoneEvent):
            client.scope.setdefault(_STATE, []).append(event)
        yield index, event


class RequestLog:
    """Logs the lines; the record's `fields` have the same as data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and tell of it when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), _NO_ANSWER

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            if status >= 400 or not _is_quiet(scope["path"]):
                _tell(scope, status, perf_counter() - began)


def _is_quiet(path: str) -> bool:
    """Whether a path is watched, or a file of the chat page, which has dozens."""
    return path in _WATCHED or path.startswith("/page/")


def _tell(scope: Scope, status: int, seconds: float) -> None:
    client, answers = scope.get("client"), scope.get(_STATE, [])
    fields: dict[str, Any] = {
        "client": f"{client[0]}:{client[1]}" if client else "",
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1e3, 1),
        "answers": [{"reason": each.reason, **timings_json(each.timings)} for each in answers],
    }
    line = "{client} {method} {path} {status} {ms} ms".format(**fields)
    _logger.info("%s", "; ".join([line, *map(_described, answers)]), extra={"fields": fields})


def _described(answer: DoneEvent) -> str:
    timings = answer.timings
    return (
        f"prompt {timings.n_prompt} tokens in {timings.prompt_seconds * 1e3:.0f} ms ({timings.n_cached} cached),"
        f" answer {timings.n_generated} tokens in {timings.generation_seconds * 1e3:.0f} ms"
        f" ({timings.generated_per_second:.1f} t/s), {answer.reason}"
    )
