"""The pages of a cache in a GPU's memory: copied, read, written and moved. Importing it needs CuPy."""

from collections.abc import Sequence

import cupy
import numpy as np
import numpy.typing as npt

from pyggml_cuda.cache import CACHE_FORMATS, CacheRows
from pyggml_cuda.cache_rows import turned
from pyggml_cuda.device import settle


class RowStore:
    """Rows of `size` keys, or values, in a format: bytes (n_pages, n_layers, n_kv_heads, page_size, row_bytes)."""

    def __init__(self, name: str, shape: tuple[int, int, int, int], size: int, rotation: int = 0) -> None:
        self.format = name
        self.size = size
        self.rotation = rotation
        """The length of the Hadamard rotation around the format's rounding, 0 for none."""
        self.row_bytes = CACHE_FORMATS[name].row_bytes(size)
        """Bytes of one head's row at one position."""
        self._page_size = shape[3]
        self._data = cupy.zeros((*shape, self.row_bytes), cupy.uint8)
        settle()

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
        rows: npt.NDArray[np.uint8] = cupy.asnumpy(self._data[page, :, :, slot])
        return rows

    def write(self, pages: Sequence[int], n: int, data: npt.NDArray[np.uint8]) -> None:
        """What `read` gave, back again."""
        page, slot = self._index(pages, 0, n)
        self._data[page, :, :, slot] = cupy.asarray(np.ascontiguousarray(data))
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
            self._data[page, layer, :, slot] = (
                rows if turn is None else turned(cupy, rows, self.format, self.rotation, *turn)
            )
        settle()
