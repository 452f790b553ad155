"""Limits on what a client sends, and on how slowly it sends and reads."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyggml.server.errors import ApiError

#: So many times the limit is read and thrown away: a client that is still sending would not see the answer.
_DRAINED = 16
Result = TypeVar("Result")


class TransferLimits:
    """Answers 413 to a body of more than `max_body` bytes, and gives up clients that stand still for `seconds`."""

    def __init__(self, app: ASGIApp, max_body: int, seconds: float) -> None:
        self._app = app
        self._max_body = max_body
        self._seconds = seconds or None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body read first: all that is done with it needs the whole."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def patient_send(message: Message) -> None:
            try:
                await self._within_time(send(message))
            except asyncio.TimeoutError:
                raise OSError("the client does not read its answer") from None

        try:
            body = await self._body(scope, receive)
        except ApiError as error:
            await error.response()(scope, receive, patient_send)
            return
        if body is None:
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_rest() -> Message:
            return messages.pop() if messages else await receive()

        # A client that left, or does not read: nobody to tell of it.
        with suppress(ClientDisconnect):
            await self._app(scope, receive_rest, patient_send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client left. Raises ApiError."""
        chunks, size = [], 0
        while True:
            try:
                message = await self._within_time(receive())
            except asyncio.TimeoutError:
                raise ApiError(408, f"the body did not arrive: nothing came for {self._seconds:g} seconds") from None
            if message["type"] == "http.disconnect":
                return None
            size += len(message.get("body", b""))
            if size <= self._max_body:
                chunks.append(message.get("body", b""))
            if size > _DRAINED * self._max_body or (size > self._max_body and not message.get("more_body")):
                announced = Headers(scope=scope).get("content-length", "unknown")
                raise ApiError(
                    413, f"the body is too large: content-length {announced}, allowed are {self._max_body} bytes"
                )
            if not message.get("more_body"):
                return b"".join(chunks)

    async def _within_time(self, waiting: Awaitable[Result]) -> Result:
        """What `asyncio.wait_for` does without a task of its own, which would cost each token of a stream a turn of
        the loop."""
        inside, is_late = asyncio.current_task(), False
        if self._seconds is None or inside is None:
            return await waiting

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            inside.cancel()

        timer = asyncio.get_running_loop().call_later(self._seconds, give_up)
        try:
            return await waiting
        except asyncio.CancelledError:
            if is_late:
                raise asyncio.TimeoutError from None
            raise
        finally:
            timer.cancel()
