"""A device that only keeps books: memory with addresses, launches recorded instead of run."""

from collections.abc import Callable, Sequence
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
            "copy_to_device": lambda *_: None,
            "copy_to_host": lambda *_: None,
            "new_stream": Stream,
            "run_now": lambda *launches: self.launched.extend(launches),
            "compute_capability": lambda: self.capability,
            "settle": lambda: None,
        }.items():
            monkeypatch.setattr(device, name, function)
