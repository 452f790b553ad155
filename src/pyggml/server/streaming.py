"""Server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.responses import StreamingResponse

from pyggml.server.errors import ApiError, as_api_error

PING = ":\n\n"
DONE = "data: [DONE]\n\n"
"""The end of OpenAI's streams."""


def data(value: Any) -> str:
    """A value as an event."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def named(name: str, value: Any) -> str:
    """A value as an event with a name, as Anthropic's API and OpenAI's responses have it."""
    return f"event: {name}\n{data(value)}"


def error_event(error: ApiError) -> str:
    """The error that ends a stream."""
    return data(error.body)


class EventStream(StreamingResponse):
    """A stream of events, each as `data` or `named` makes it.

    Comments keep an idle connection alive. An error ends the stream, as an event. `on_close` is called in any case:
    after the last event, and when the client leaves.
    """

    def __init__(
        self,
        events: AsyncIterator[str],
        *,
        on_close: Callable[[], None],
        ping_seconds: float,
        as_event: Callable[[ApiError], str] = error_event,
    ) -> None:
        super().__init__(
            _guarded(events, on_close, ping_seconds, as_event),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )


async def _guarded(
    events: AsyncIterator[str], on_close: Callable[[], None], ping_seconds: float, as_event: Callable[[ApiError], str]
) -> AsyncIterator[str]:
    try:
        async for event in _with_pings(events, ping_seconds):
            yield event
    except Exception as error:  # noqa: BLE001  # the status line is gone: the stream is where errors can be told
        yield as_event(as_api_error(error))
    finally:
        on_close()


async def _with_pings(events: AsyncIterator[str], seconds: float) -> AsyncIterator[str]:
    """The events, and a comment whenever there was none for so long; seconds of 0 or less: no comments."""
    if seconds <= 0:
        async for event in events:
            yield event
        return
    # None after the last event.
    upcoming: asyncio.Future[str | None] = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait((upcoming,), timeout=seconds)
            if not done:
                yield PING
                continue
            following = upcoming.result()
            if following is None:
                return
            yield following
            upcoming = asyncio.ensure_future(anext(events, None))
    finally:
        upcoming.cancel()
