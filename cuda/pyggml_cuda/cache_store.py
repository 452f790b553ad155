"""The pages of a cache in a GPU's memory: copied, read, written and moved. Importing it needs CuPy."""

from collections.abc import Sequence

import cupy
import numpy as np
import numpy.typing as npt

from pyggml_cuda.cache import CACHE_FORMATS, CacheRows
from pyggml_cuda.device import settle


class RowStore:
    """Rows of keys, or of values: (n_pages, n_layers, n_kv_heads, page_size, size) numbers of 16 bits."""

    def __init__(self, name: str, shape: tuple[int, int, int, int], size: int) -> None:
        self.format = name
        self.size = size
        self._page_size = shape[3]
        self._data = cupy.zeros((*shape, size), cupy.uint16)
        settle()

    @property
    def row_bytes(self) -> int:
        """Bytes of one head's row at one position."""
        return CACHE_FORMATS[self.format].row_bytes(self.size)

    def rows(self, layer: int) -> CacheRows:
        """A layer's rows, for kernels."""
        address = self._data.data.ptr + layer * self._data.strides[1]
        return CacheRows(self.format, address, self._data.strides[0], self.row_bytes, self._page_size)

    def copy_page(self, source: int, target: int) -> None:
        """Make the target page equal to the source page."""
        self._data[target] = self._data[source]
        settle()

    def _index(self, pages: Sequence[int], first: int, n: int) -> tuple["cupy.ndarray", "cupy.ndarray"]:
        positions = np.arange(first, first + n)
        table = np.asarray(pages, np.int64)
        return cupy.asarray(table[positions // self._page_size]), cupy.asarray(positions % self._page_size)

    def read(self, pages: Sequence[int], n: int) -> npt.NDArray[np.uint8]:
        """The rows of the first `n` positions, (n, n_layers, n_kv_heads, row_bytes)."""
        page, slot = self._index(pages, 0, n)
        rows: npt.NDArray[np.uint16] = cupy.asnumpy(self._data[page, :, :, slot])
        return np.ascontiguousarray(rows).view(np.uint8)

    def write(self, pages: Sequence[int], n: int, data: npt.NDArray[np.uint8]) -> None:
        """What `read` gave, back again."""
        page, slot = self._index(pages, 0, n)
        self._data[page, :, :, slot] = cupy.asarray(np.ascontiguousarray(data).view(np.uint16))
        settle()

    def move(
        self, pages: Sequence[int], source: int, target: int, n: int, turn: tuple[npt.NDArray[np.float32], bool] | None
    ) -> None:
        """Move `n` positions of a sequence; with `turn`, angles (2, n_pairs) of cosines and sines and whether pairs are
        halves, turn every row on its way."""
        old_page, old_slot = self._index(pages, source, n)
        page, slot = self._index(pages, target, n)
        for layer in range(self._data.shape[1]):
            rows = self._data[old_page, layer, :, old_slot]
            self._data[page, layer, :, slot] = rows if turn is None else self._turned(rows, *turn)
        settle()

    def _turned(self, rows: "cupy.ndarray", angles: npt.NDArray[np.float32], halves: bool) -> "cupy.ndarray":
        x = _to_floats(rows, self.format)
        cosines, sines = cupy.asarray(angles)
        n_pairs = len(cosines)
        first = np.s_[..., :n_pairs] if halves else np.s_[..., : 2 * n_pairs : 2]
        second = np.s_[..., n_pairs : 2 * n_pairs] if halves else np.s_[..., 1 : 2 * n_pairs : 2]
        a, b = x[first].copy(), x[second].copy()
        x[first] = a * cosines - b * sines
        x[second] = a * sines + b * cosines
        return _from_floats(x, self.format)


def _to_floats(rows: "cupy.ndarray", name: str) -> "cupy.ndarray":
    if name == "f16":
        return rows.view(cupy.float16).astype(cupy.float32)
    return (rows.astype(cupy.uint32) << 16).view(cupy.float32)


def _from_floats(x: "cupy.ndarray", name: str) -> "cupy.ndarray":
    if name == "f16":
        return x.astype(cupy.float16).view(cupy.uint16)
    bits = x.view(cupy.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(cupy.uint16)
