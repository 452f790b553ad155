"""Memory of a device that is not there: bytes with addresses; only what was allocated may be touched."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Addresses = npt.NDArray[np.uint64]

#: Where the device's memory begins, and the windows that generic addresses of shared and of local memory lie in.
GLOBAL_BASE, SHARED_BASE, LOCAL_BASE = 1 << 33, 1 << 40, 1 << 41
_ALIGNMENT = 256


class EmulationError(Exception):
    """What a kernel must not do, or the emulator cannot."""


class DeviceMemory:
    """So many bytes, given out from the front; between allocations there is a gap."""

    def __init__(self, n_bytes: int) -> None:
        self._bytes = np.full(n_bytes, 0xA5, np.uint8)
        self._starts = np.zeros(0, np.int64)
        self._ends = np.zeros(0, np.int64)
        self._used = 0
        self.predecessor: Callable[[], None] | None = None
        """What the kernel before has yet to do when a kernel is launched; done when a thread waits for it."""

    def allocate(self, n_bytes: int) -> int:
        """The address of so many bytes, which hold garbage."""
        start = self._used
        if start + n_bytes > self._bytes.size:
            raise MemoryError(f"the emulated device has {self._bytes.size} bytes, {start} of them in use")
        self._used = (-(-(start + n_bytes) // _ALIGNMENT) + 1) * _ALIGNMENT
        self._starts = np.append(self._starts, start)
        self._ends = np.append(self._ends, start + n_bytes)
        return GLOBAL_BASE + start

    def bytes_at(self, address: int, n_bytes: int) -> Bytes:
        """A view of allocated bytes."""
        self.check(np.array([address], np.uint64), n_bytes)
        start = address - GLOBAL_BASE
        return self._bytes[start : start + n_bytes]

    def check(self, addresses: Addresses, n_bytes: int) -> npt.NDArray[np.int64]:
        """The offsets of addresses where so many bytes are allocated; EmulationError if one is not."""
        offsets = addresses.astype(np.int64) - GLOBAL_BASE
        index = np.searchsorted(self._starts, offsets, "right") - 1
        wrong = (index < 0) | (offsets + n_bytes > self._ends[np.maximum(index, 0)])
        if wrong.any():
            address = int(addresses[wrong.argmax()])
            raise EmulationError(f"{n_bytes} bytes at {address:#x} are not allocated")
        return offsets

    @property
    def flat(self) -> Bytes:
        """All bytes, by offset."""
        return self._bytes


def gather(flat: Bytes, offsets: npt.NDArray[np.int64], dtype: Any) -> npt.NDArray[Any]:
    """A number at each offset, which is a multiple of its size."""
    kind = np.dtype(dtype)
    check_alignment(offsets, kind.itemsize)
    found: npt.NDArray[Any] = flat.view(kind)[offsets // kind.itemsize]
    return found


def scatter(flat: Bytes, offsets: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
    """Write a number to each offset, which is a multiple of its size."""
    check_alignment(offsets, values.dtype.itemsize)
    flat.view(values.dtype)[offsets // values.dtype.itemsize] = values


def check_alignment(offsets: npt.NDArray[Any], n_bytes: int) -> None:
    """EmulationError unless all are multiples of what is accessed there."""
    if (offsets % offsets.dtype.type(n_bytes)).any():
        raise EmulationError(f"{n_bytes} bytes at an address that is not a multiple of {n_bytes}")
