"""A device that only keeps books: memory with addresses, launches recorded instead of run."""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import nullcontext
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

    @property
    def data(self) -> Pointer:
        return Pointer(int(self.array.ctypes.data))

    @property
    def size(self) -> int:
        return self.array.size


class Stream:
    ptr = 0

    def synchronize(self) -> None:
        pass

    def wait_event(self, event: Any) -> None:
        pass


class Event:
    def record(self, stream: Any) -> None:
        pass

    def synchronize(self) -> None:
        pass


@dataclass
class Graph:
    actions: Sequence[Callable[[Any], None]]

    def launch(self, stream: Any) -> None:
        for each in self.actions:
            each(stream)


def _to_device(target: int, source: npt.NDArray[Any], stream: Any) -> None:
    ctypes.memmove(target, source.ctypes.data, source.nbytes)


def _to_host(target: npt.NDArray[Any], source: int, stream: Any) -> None:
    ctypes.memmove(target.ctypes.data, source, target.nbytes)


def _zeros(n: int) -> npt.NDArray[np.uint8]:
    return np.zeros(n, np.uint8)


@dataclass
class FakeDevice:
    """What was launched, in order."""

    launched: list[Launch] = field(default_factory=list)
    n_captured: int = 0
    capability: tuple[int, int] = (8, 0)

    def names(self) -> list[str]:
        return [each.kernel.expression for each in self.launched]

    def _launching(self, launch: Launch) -> Callable[[Any], None]:
        return lambda stream: self.launched.append(launch)

    def _captured(self, actions: Sequence[Callable[[Any], None]], stream: Any) -> Graph:
        self.n_captured += 1
        return Graph(actions)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real one."""
        for name, function in {
            "launching": self._launching,
            "captured": self._captured,
            "multiplying": lambda *_: lambda stream: None,
            "allocate": lambda n: Memory(_zeros(n)),
            "upload": lambda data: Memory(np.ascontiguousarray(data).view(np.uint8).reshape(-1)),
            "pinned": _zeros,
            "empty": lambda n: Memory(_zeros(n)),
            "copy_to_device": _to_device,
            "copy_to_host": _to_host,
            "new_stream": Stream,
            "new_event": Event,
            "current": lambda: 0,
            "run_now": lambda *launches: self.launched.extend(launches),
            "compute_capability": lambda: self.capability,
            "settle": lambda: None,
            "on": lambda number: nullcontext(),
        }.items():
            monkeypatch.setattr(device, name, function)
