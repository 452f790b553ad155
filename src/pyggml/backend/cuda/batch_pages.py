"""One layer's keys and values on the GPU for a single batch, while the cache itself is in main memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu.cache import CPUCache, RowStore
from pyggml.backend.protocol import CacheShape, Step
from pyggml_cuda import device
from pyggml_cuda.cache import CacheRows
from pyggml_cuda.pieces import PIECE_BYTES, Piece

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BatchPages:
    """The pages of a batch's sequences, numbered anew: those with positions before the batch first, those that it
    writes to last; some are both."""

    pages: npt.NDArray[np.int64]
    """The cache's number of each."""
    n_earlier: int
    n_written: int
    table: npt.NDArray[np.int32]
    """The step's page table by the new numbers, (n_sequences, pages of the longest sequence)"""

    @classmethod
    def of(cls, step: Step, page_size: int) -> "BatchPages":
        """Those of a step."""
        earlier, written, lengths = set[int](), set[int](), []
        for sequence, row in enumerate(step.page_table.tolist()):
            positions = step.positions[step.sequences == sequence]
            first, last = (int(positions.min()), int(positions.max())) if positions.size else (0, -1)
            earlier.update(row[: -(-first // page_size)])
            written.update(row[first // page_size : last // page_size + 1])
            lengths.append(last // page_size + 1)
        pages = [*sorted(earlier - written), *sorted(earlier & written), *sorted(written - earlier)]
        numbers = {page: number for number, page in enumerate(pages)}
        table = np.zeros(step.page_table.shape, np.int32)
        for sequence, n in enumerate(lengths):
            table[sequence, :n] = [numbers[page] for page in step.page_table[sequence, :n].tolist()]
        return cls(np.array(pages, np.int64), len(earlier), len(written), table)

    @property
    def written(self) -> slice:
        """The new numbers of the pages that the batch writes to."""
        return slice(len(self.pages) - self.n_written, len(self.pages))


class LayerPages:
    """Room for `n_pages` pages of one layer; kernels see a cache with this layer alone."""

    def __init__(self, cache: CPUCache, n_pages: int) -> None:
        self.shape = replace(cache.shape, n_layers=1, n_pages=n_pages)
        self.keys = _Rows(self.shape, self.shape.key_format, cache.keys)
        self.values = _Rows(self.shape, self.shape.value_format, cache.values)

    def pieces(self, cache: CPUCache, layer: int, batch: BatchPages) -> Iterator[Piece]:
        """A layer's pages with earlier positions, on their way here."""
        earlier = batch.pages[: batch.n_earlier]
        yield from self.keys.pieces(cache.keys.data[:, layer], earlier)
        yield from self.values.pieces(cache.values.data[:, layer], earlier)

    def begin_return(self, batch: BatchPages, stream: Any) -> None:
        """Have a stream copy the pages that the batch wrote to, to where `end_return` finds them."""
        self.keys.begin_return(batch.written, stream)
        self.values.begin_return(batch.written, stream)

    def end_return(self, cache: CPUCache, layer: int, batch: BatchPages) -> None:
        """Put them into the cache, as its layer."""
        pages = batch.pages[batch.written]
        self.keys.end_return(cache.keys.data, layer, pages)
        self.values.end_return(cache.values.data, layer, pages)


class _Rows:
    """Pages of keys, or of values, each (n_kv_heads, page_size, row_bytes) bytes; at first all zeros."""

    def __init__(self, shape: CacheShape, name: str, store: RowStore) -> None:
        self.rotation = store.rotation
        """See `RowStore`."""
        self._format = name
        self._row_bytes = store.row_bytes
        self._page_size = shape.page_size
        self._page_bytes = shape.n_kv_heads * shape.page_size * store.row_bytes
        self._memory = device.allocate(shape.n_pages * self._page_bytes)
        self._host = np.zeros(0, np.uint8)

    @property
    def _address(self) -> int:
        return int(self._memory.data.ptr)

    def rows(self, layer: int) -> CacheRows:
        """The one layer's rows."""
        return CacheRows(self._format, self._address, self._page_bytes, self._row_bytes, self._page_size)

    def pieces(self, data: Bytes, pages: npt.NDArray[np.int64]) -> Iterator[Piece]:
        per_piece = max(1, PIECE_BYTES // self._page_bytes)
        for first in range(0, len(pages), per_piece):
            part = pages[first : first + per_piece]
            target = self._address + first * self._page_bytes
            yield Piece(len(part) * self._page_bytes, partial(_gather, data, part), target)

    def begin_return(self, numbers: slice, stream: Any) -> None:
        n_bytes = (numbers.stop - numbers.start) * self._page_bytes
        if n_bytes > self._host.size:
            self._host = device.pinned(n_bytes)
        device.copy_to_host(self._host[:n_bytes], self._address + numbers.start * self._page_bytes, stream)

    def end_return(self, data: Bytes, layer: int, pages: npt.NDArray[np.int64]) -> None:
        for number, page in enumerate(pages):
            row = self._host[number * self._page_bytes : (number + 1) * self._page_bytes]
            np.copyto(data[page, layer].reshape(-1), row)


def _gather(data: Bytes, pages: npt.NDArray[np.int64], target: Bytes) -> None:
    """One layer's pages, one behind the other."""
    for row, page in zip(target.reshape(len(pages), -1), pages, strict=True):
        np.copyto(row, data[page].reshape(-1))
