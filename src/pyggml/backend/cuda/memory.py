"""Buffers of a plan: operations that never need them at the same time share bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyggml_cuda import device
from pyggml_cuda.device import Action

#: Every buffer begins at a multiple of this.
_ALIGNMENT = 256


@dataclass(frozen=True, eq=False)
class Buffer:
    """So many bytes, somewhere; or at an address that is given."""

    n_bytes: int
    address: int | None = None


class Arena:
    """Memory that buffers lie in, of plans that never run at the same time; it only grows.

    Plans that were made before it grew hold addresses that are not there any more.
    """

    def __init__(self) -> None:
        self._memory: Any = None

    @property
    def address(self) -> int:
        """Where it begins; 0 before it is there."""
        return int(self._memory.data.ptr) if self._memory is not None else 0

    def grow(self, n_bytes: int) -> None:
        """Make room, on the current GPU. Raises MemoryError."""
        if self._memory is None or n_bytes > self._memory.size:
            self._memory = device.allocate(n_bytes)


Addresses = Callable[[Buffer], int]


@dataclass(frozen=True, eq=False)
class Operation:
    """Something to do once its buffers have addresses."""

    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]
    build: Callable[[Addresses], Action]
    capturable: bool = True
    """Whether a CUDA graph can hold it."""


def lay_out(operations: Sequence[Operation], result: Buffer) -> tuple[Mapping[Buffer, int], int]:
    """The offset of each buffer without an address, and the bytes needed in all."""
    last: dict[Buffer, int] = {}
    for position, operation in enumerate(operations):
        for buffer in (*operation.reads, *operation.writes):
            last[buffer] = position
    last[result] = len(operations)
    offsets: dict[Buffer, int] = {}
    live: dict[Buffer, tuple[int, int]] = {}
    total = 0
    for position, operation in enumerate(operations):
        for buffer in operation.writes:
            if buffer.address is None and buffer not in offsets:
                size = -(-buffer.n_bytes // _ALIGNMENT) * _ALIGNMENT
                offsets[buffer] = _fit(sorted(live.values()), size)
                live[buffer] = offsets[buffer], size
                total = max(total, offsets[buffer] + size)
        for buffer in [each for each in live if last[each] <= position]:
            del live[buffer]
    return offsets, total


def addresses(offsets: Mapping[Buffer, int], base: int) -> Addresses:
    """Where buffers are, once those without an address are placed in memory that begins at `base`."""

    def address(buffer: Buffer) -> int:
        return buffer.address if buffer.address is not None else base + offsets[buffer]

    return address


def _fit(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest offset with room between the sorted (offset, size) intervals taken."""
    offset = 0
    for start, length in taken:
        if start - offset >= size:
            break
        offset = max(offset, start + length)
    return offset
