"""Server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from pyggml.server.errors import ApiError, as_api_error

PING = b":\n\n"
DONE = "data: [DONE]\n\n"
"""The end of OpenAI's streams."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def data(value: Any) -> str:
    """A value as an event."""
    return f"data: {_ENCODER.encode(value)}\n\n"


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
            _guarded(events, on_close, as_event),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._ping_seconds = ping_seconds

    async def stream_response(self, send: Send) -> None:
        """Send the events, with comments between them."""
        if self._ping_seconds <= 0:
            await super().stream_response(send)
            return
        pings = _Pings(send, self._ping_seconds)
        keeping = asyncio.create_task(pings.keep_alive())
        try:
            await super().stream_response(pings.send)
        finally:
            keeping.cancel()


async def _guarded(
    events: AsyncIterator[str], on_close: Callable[[], None], as_event: Callable[[ApiError], str]
) -> AsyncIterator[str]:
    try:
        async for event in events:
            yield event
    except Exception as error:  # noqa: BLE001  # the status line is gone: the stream is where errors can be told
        yield as_event(as_api_error(error))
    finally:
        on_close()


class _Pings:
    """Comments in a stream, whenever nothing was sent for so long."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._last = monotonic()
        self._is_sending = False

    async def send(self, message: Message) -> None:
        """Send what the stream itself says."""
        self._is_sending = True
        await self._send(message)
        self._is_sending = False
        self._last = monotonic()

    async def keep_alive(self) -> None:
        """Send comments until cancelled, or until they cannot be sent: then the stream itself finds that out, too."""
        with suppress(OSError):
            while True:
                idle = monotonic() - self._last
                if idle < self._seconds:
                    await asyncio.sleep(self._seconds - idle)
                elif self._is_sending:
                    await asyncio.sleep(self._seconds)
                else:
                    await self.send({"type": "http.response.body", "body": PING, "more_body": True})
