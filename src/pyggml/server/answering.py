"""The way of every generating endpoint: submit, and answer in its API's words, at once or as a stream."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse

from pyggml.engine import Event, GenerationRequest, StartEvent
from pyggml.server.errors import ApiError
from pyggml.server.generation import Generation, while_connected
from pyggml.server.request_log import noted
from pyggml.server.service import Service
from pyggml.server.streaming import EventStream, error_event


class AnswerFormat(Protocol):
    """One API's words for the events of one client's requests: `index` counts its answers."""

    def add(self, index: int, event: StartEvent | Event) -> Iterable[str]:
        """Take an event in; gives what a stream says of it, as `streaming.data` or `streaming.named` makes it."""

    def end(self) -> Iterable[str]:
        """What a stream says when all answers are over."""

    def whole(self) -> Any:
        """The answer that is no stream, as JSON, after all events."""


async def respond(
    client: Request,
    service: Service,
    requests: Sequence[GenerationRequest],
    form: AnswerFormat,
    *,
    stream: bool,
    ping_seconds: float | None = None,
    as_event: Callable[[ApiError], str] = error_event,
) -> Any:
    """Generate and answer. A client that leaves frees its slots.

    A stream begins with the first event: an error before it has its own HTTP status, a later one is an event as
    `as_event` makes it. It is silent for `ping_seconds` at most, the server's unless given.
    """
    generation = Generation(service.scheduler, requests)
    events = noted(client, generation.events())
    try:
        async with while_connected(client):
            if not stream:
                async for index, event in events:
                    list(form.add(index, event))
                return JSONResponse(form.whole())  # nothing in it is left for FastAPI to encode
            first = await anext(events)
    except BaseException:
        generation.cancel()
        raise
    return EventStream(
        _said(form, first, events),
        on_close=generation.cancel,
        ping_seconds=service.options.ping_seconds if ping_seconds is None else ping_seconds,
        as_event=as_event,
    )


async def _said(
    form: AnswerFormat, first: tuple[int, StartEvent | Event], events: AsyncIterator[tuple[int, StartEvent | Event]]
) -> AsyncIterator[str]:
    for said in form.add(*first):
        yield said
    async for index, event in events:
        for said in form.add(index, event):
            yield said
    for said in form.end():
        yield said
