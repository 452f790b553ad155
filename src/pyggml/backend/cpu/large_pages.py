"""Memory in large pages: of its own for a cache, and for tiles matrix behind matrix in large regions.

A core that reads from pages of 4 KiB asks for a translation, and begins to look ahead anew, at each of them. Matrices
with memory of their own would have such pages at both ends, a third of a small model.
"""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.arena import ALIGNMENT

#: Bytes of a region. What is never written takes no memory.
_REGION_BYTES = 1 << 28
#: Memory that could be shared with other processes would not get large pages.
_PRIVATE: dict[str, Any] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
#: Bytes of a large page.
_LARGE_PAGE = 1 << 21


class TileMemory:
    """Hands out memory that is never taken back; a region lives as long as any part of it is used."""

    def __init__(self) -> None:
        self._free = np.zeros(0, np.uint8)

    def take(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        """So many bytes at a cache line, zero; MemoryError if there are not so many."""
        whole_lines = -(-n_bytes // ALIGNMENT) * ALIGNMENT
        if whole_lines > self._free.size:
            self._free = large_zeros(max(_REGION_BYTES, whole_lines))
        taken, self._free = self._free[:n_bytes], self._free[whole_lines:]
        return taken


def large_zeros(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Zeros that begin at a large page; what is never written takes no memory. MemoryError if there are not so many."""
    try:
        buffer = mmap.mmap(-1, n_bytes + _LARGE_PAGE, **_PRIVATE)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no memory for {n_bytes} bytes: {error}") from None
    if hasattr(mmap, "MADV_HUGEPAGE"):
        buffer.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(buffer, np.uint8)
    start = -int(memory.ctypes.data) % _LARGE_PAGE
    return memory[start : start + n_bytes]
