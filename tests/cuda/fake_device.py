"""Devices that only keep books: memory with addresses, launches recorded instead of run, each on the current one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pyggml_cuda import device
from pyggml_cuda.launch import Launch


@dataclass(frozen=True)
class Pointer:
    ptr: int


@dataclass
class Memory:
    """What stands for a CuPy array."""

    array: npt.NDArray[np.uint8]
    number: int = 0

    @property
    def data(self) -> Pointer:
        return Pointer(int(self.array.ctypes.data))

    @property
    def size(self) -> int:
        return self.array.size


@dataclass
class Stream:
    number: int = 0
    ptr = 0

    def synchronize(self) -> None:
        pass


@dataclass
class Graph:
    actions: Sequence[Callable[[Any], None]]

    def launch(self, stream: Any) -> None:
        for each in self.actions:
            each(stream)


def _zeros(n: int) -> npt.NDArray[np.uint8]:
    return np.zeros(n, np.uint8)


@dataclass
class FakeDevice:
    """What was launched, in order, and the bytes that were allocated."""

    launched: list[Launch] = field(default_factory=list)
    allocated: list[int] = field(default_factory=list)
    n_captured: int = 0
    capability: tuple[int, int] = (8, 0)
    current: list[int] = field(default_factory=lambda: [0])
    n_launched: dict[int, int] = field(default_factory=dict)
    """How many launches each device had."""

    def names(self) -> list[str]:
        return [each.kernel.expression for each in self.launched]

    @contextmanager
    def _on(self, number: int) -> Iterator[None]:
        self.current.append(number)
        try:
            yield
        finally:
            self.current.pop()

    def _memory(self, array: npt.NDArray[Any]) -> Memory:
        self.allocated.append(array.nbytes)
        return Memory(np.ascontiguousarray(array).view(np.uint8).reshape(-1), self.current[-1])

    def _run(self, launch: Launch) -> None:
        self.launched.append(launch)
        self.n_launched[self.current[-1]] = self.n_launched.get(self.current[-1], 0) + 1

    def _run_now(self, *launches: Launch) -> None:
        for each in launches:
            self._run(each)

    def _launching(self, launch: Launch) -> Callable[[Any], None]:
        compiled_for = self.current[-1]

        def start(stream: Stream) -> None:
            assert compiled_for == stream.number == self.current[-1]
            self._run(launch)

        return start

    def _captured(self, actions: Sequence[Callable[[Any], None]], stream: Stream) -> Graph:
        assert stream.number == self.current[-1]
        self.n_captured += 1
        return Graph(actions)

    def _copy(self, target: object, source: object, stream: Stream) -> None:
        assert stream.number == self.current[-1]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real ones."""
        for name, function in {
            "launching": self._launching,
            "captured": self._captured,
            "multiplying": lambda *_: lambda stream: None,
            "allocate": lambda n: self._memory(_zeros(n)),
            "upload": self._memory,
            "pinned": _zeros,
            "copy_to_device": self._copy,
            "copy_to_host": self._copy,
            "new_stream": lambda: Stream(self.current[-1]),
            "run_now": self._run_now,
            "compute_capability": lambda: self.capability,
            "settle": lambda: None,
            "shared_limit": lambda: 227 * 1024,
            "on": self._on,
        }.items():
            monkeypatch.setattr(device, name, function)
