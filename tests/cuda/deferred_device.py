"""An emulated GPU whose streams begin with what they are given as late as they may, and in any order among each other.

What is right here is right on a GPU, however its streams take turns: whatever has to wait says so.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from threading import RLock
from typing import Any

import numpy.typing as npt
import pytest

from pyggml_cuda import device
from pyggml_cuda.launch import Launch
from tests.cuda.emulated_device import Action, EmulatedDevice


class Event:
    """Over once all is that a stream had been given when it recorded the event for the last time."""

    def __init__(self, streams: "Streams") -> None:
        self._streams = streams
        self.is_over = _Mark(is_over=True)

    def record(self, stream: "Stream") -> None:
        """Mark what the stream has been given so far."""
        self.is_over = mark = _Mark()
        stream.give(mark.end)

    def synchronize(self) -> None:
        """Have streams work until it is over."""
        mark = self.is_over
        self._streams.work_until(lambda: bool(mark))


class _Mark:
    def __init__(self, *, is_over: bool = False) -> None:
        self._is_over = is_over

    def __bool__(self) -> bool:
        return self._is_over

    def end(self) -> None:
        self._is_over = True


class Stream:
    """Operations that wait, each with what has to be over before it begins."""

    ptr = 0

    def __init__(self, streams: "Streams") -> None:
        self._streams = streams
        self._awaited: list[_Mark] = []
        self.operations: deque[tuple[list[_Mark], Callable[[], None]]] = deque()

    def give(self, operation: Callable[[], None]) -> None:
        """Add an operation."""
        with self._streams.lock:
            self.operations.append((self._awaited, operation))
            self._awaited = []

    def wait_event(self, event: Event) -> None:
        """Have what comes next wait."""
        self._awaited = [*self._awaited, event.is_over]

    def synchronize(self) -> None:
        """Have streams work until this one has nothing to do."""
        self._streams.work_until(lambda: not self.operations)

    @property
    def is_ready(self) -> bool:
        """Whether the first operation may begin."""
        return bool(self.operations) and all(self.operations[0][0])


class Streams:
    """All streams of a device, of which one after the other does something."""

    def __init__(self, seed: int) -> None:
        self.lock = RLock()
        self._streams: list[Stream] = []
        self._random = Random(seed)

    def new(self) -> Stream:
        """A stream."""
        self._streams.append(Stream(self))
        return self._streams[-1]

    def work_until(self, is_over: Callable[[], bool]) -> None:
        """Do operations of streams, whichever are ready, until something is over."""
        with self.lock:
            while not is_over():
                ready = [stream for stream in self._streams if stream.is_ready]
                _, operation = self._random.choice(ready).operations.popleft()
                operation()


class DeferredDevice(EmulatedDevice):
    """With streams and events; memory is given out at once."""

    def __init__(self, seed: int, capability: tuple[int, int] = (8, 0)) -> None:
        super().__init__(capability)
        self._streams = Streams(seed)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """See `EmulatedDevice.install`."""
        super().install(monkeypatch)
        names = ("copy_to_device", "copy_to_host", "copy_on_device")
        for name in names:
            monkeypatch.setattr(device, name, self._deferred(getattr(device, name)))
        monkeypatch.setattr(device, "new_stream", self._streams.new)
        monkeypatch.setattr(device, "new_event", lambda: Event(self._streams))

    def _deferred(self, copy: Callable[..., None]) -> Callable[..., None]:
        def begin(*arguments: Any) -> None:
            *others, stream = arguments
            stream.give(lambda: copy(*others, stream))

        return begin

    def _launching(self, launch: Launch) -> Action:
        return self._begun_later(super()._launching(launch))

    def _multiplying(self, *arguments: Any) -> Action:
        return self._begun_later(super()._multiplying(*arguments))

    def _begun_later(self, action: Action) -> Action:
        return lambda stream: stream.give(lambda: action(stream))

    def get(self, address: int, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """What lies in the device's memory."""
        return self.emulator.get(address, dtype, shape)
