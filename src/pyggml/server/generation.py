"""From the scheduler's thread to the event loop: the events of requests, as long as their client is there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import Request

from pyggml.engine import DoneEvent, Event, FailedEvent, GenerationRequest, Scheduler, StartEvent, Task, TaskEvent


class Generation:
    """The events of requests that were submitted together: one, or several answers of which a client wants all."""

    def __init__(self, scheduler: Scheduler, requests: Sequence[GenerationRequest]) -> None:
        """Submit all of them, or none; raises what `Scheduler.submit` raises."""
        self.tasks: list[Task] = []
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[int, TaskEvent]] = asyncio.Queue()
        try:
            for index, request in enumerate(requests):
                self.tasks.append(scheduler.submit(request, self._listener(index)))
        except BaseException:
            self.cancel()
            raise

    def _listener(self, index: int) -> Callable[[TaskEvent], None]:
        """What the scheduler's thread calls; it does not wait for the reader."""

        def put(event: TaskEvent) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._queue.put_nowait, (index, event))

        return put

    async def events(self) -> AsyncIterator[tuple[int, StartEvent | Event]]:
        """All events, each with the index of its request, until all are over. Raises the error of a FailedEvent."""
        n_running = len(self.tasks)
        while n_running:
            index, event = await self._queue.get()
            if isinstance(event, FailedEvent):
                raise event.error
            n_running -= isinstance(event, DoneEvent)
            yield index, event

    def cancel(self) -> None:
        """Free the slots at the next step; nothing happens to what is over."""
        for task in self.tasks:
            task.cancel()


class ClientLeftError(Exception):
    """The client closed the connection: nobody reads an answer."""


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Leave the block, with ClientLeftError, once the client closes the connection; its body must have been read."""
    inside = asyncio.current_task()
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        has_left = True
        if inside:
            inside.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if has_left:
            raise ClientLeftError from None
        raise
    finally:
        watcher.cancel()
