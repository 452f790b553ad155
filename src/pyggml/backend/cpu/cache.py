"""The paged cache of keys and values in main memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu.arguments import angle_arguments, arguments, rotate_arguments
from pyggml.backend.cpu.large_pages import large_zeros
from pyggml.backend.graph import Rope
from pyggml.backend.protocol import CacheShape
from pyggml_kernels.cache_formats import CACHE_FORMATS, CacheFormat
from pyggml_kernels.cache_shift import N_ARGUMENTS as SHIFT_ARGUMENTS
from pyggml_kernels.cache_shift import shift_rows
from pyggml_kernels.hadamard import N_ARGUMENTS as HADAMARD_ARGUMENTS
from pyggml_kernels.hadamard import hadamard, hadamard_size
from pyggml_kernels.rope import rope_angles, rope_rotate


@dataclass(frozen=True)
class RowStore:
    """Rows of keys, or of values, in one format.

    All of a page lies together, so that a context takes memory only as it grows and a page can be copied at once.
    """

    format: CacheFormat
    size: int
    """Numbers in a row."""
    rotation: int
    """Length of the Hadamard transform around the format's rounding, 0 for none."""
    data: npt.NDArray[np.uint8]
    """(n_pages, n_layers, n_kv_heads, page_size, row_bytes)"""

    @classmethod
    def empty(cls, shape: CacheShape, name: str, size: int, *, largest_rotation: bool) -> "RowStore":
        """All zeros; memory that is never written takes no room."""
        form = CACHE_FORMATS[name]
        rows = (shape.n_pages, shape.n_layers, shape.n_kv_heads, shape.page_size)
        data = large_zeros(math.prod(rows) * form.row_bytes(size)).reshape(*rows, form.row_bytes(size))
        return cls(form, size, hadamard_size(form, size, largest=largest_rotation), data)

    @property
    def row_bytes(self) -> int:
        """Bytes of one head's row at one position."""
        return int(self.data.shape[-1])

    @property
    def page_bytes(self) -> int:
        """Bytes from one page to the next."""
        return int(self.data.strides[0])

    def address(self, layer: int) -> int:
        """Where a layer's part of the first page begins."""
        return int(self.data.ctypes.data) + layer * int(self.data.strides[1])


class CPUCache:
    """Pages of keys and values of all layers."""

    def __init__(self, shape: CacheShape) -> None:
        self.shape = shape
        self.keys = RowStore.empty(shape, shape.key_format, shape.key_size, largest_rotation=True)
        self.values = RowStore.empty(shape, shape.value_format, shape.value_size, largest_rotation=False)

    def _rows(self, pages: Sequence[int], n: int) -> tuple[npt.NDArray[np.int64], slice, slice, npt.NDArray[np.int64]]:
        """The index of all layers' and heads' rows at the first `n` positions of the sequence with these pages."""
        positions = np.arange(n)
        table = np.asarray(pages, np.int64)
        return table[positions // self.shape.page_size], slice(None), slice(None), positions % self.shape.page_size

    def move(self, pages: Sequence[int], source: int, target: int, n: int, rope: Rope) -> None:
        """See `Cache.move`."""
        keys, values = self.keys, self.values
        table = np.asarray(pages, np.int32)
        row = np.zeros(keys.size, np.float32)
        turn, _angles = self._turn(target - source, rope, row)
        spread = arguments(
            HADAMARD_ARGUMENTS, {0: row.ctypes.data, 1: keys.size // (keys.rotation or 1), 2: keys.rotation}
        )
        words = {
            1: keys.row_bytes,
            2: keys.format.load.address,
            3: keys.format.store.address,
            5: values.row_bytes,
            6: table.ctypes.data,
            7: self.shape.page_size,
            8: keys.page_bytes,
            9: source,
            10: target,
            11: n,
            12: row.ctypes.data,
            13: keys.size,
            14: rope_rotate.address,
            15: turn.ctypes.data,
            16: hadamard.address if keys.rotation else 0,
            17: spread.ctypes.data,
            18: values.page_bytes,
        }
        for layer in range(self.shape.n_layers):
            packed = arguments(SHIFT_ARGUMENTS, words | {0: keys.address(layer), 4: values.address(layer)})
            for head in range(self.shape.n_kv_heads):
                shift_rows(packed.ctypes.data, head, 0)

    def _turn(
        self, distance: int, rope: Rope, row: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The words for turning a key in `row` by a distance, and the angles they point to.

        The amplitude is left out: the key has it already.
        """
        position, angles = np.array([distance], np.int32), np.zeros(2 * rope.n_pairs, np.float32)
        words = angle_arguments(position, rope, angles.ctypes.data, amplitude=1.0)
        rope_angles(words.ctypes.data, 0, 0)
        return rotate_arguments(row.ctypes.data, 1, self.keys.size, angles.ctypes.data, rope), angles

    def copy_page(self, source: int, target: int) -> None:
        """See `Cache.copy_page`."""
        for store in (self.keys, self.values):
            store.data[target] = store.data[source]

    def read(self, pages: Sequence[int], n: int) -> bytes:
        """See `Cache.read`."""
        index = self._rows(pages, n)
        rows = np.concatenate([self.keys.data[index], self.values.data[index]], axis=-1)
        return rows.swapaxes(0, 1).tobytes()

    def write(self, pages: Sequence[int], n: int, data: bytes) -> None:
        """See `Cache.write`."""
        index, n_key_bytes = self._rows(pages, n), self.keys.row_bytes
        shape = (self.shape.n_layers, n, self.shape.n_kv_heads, n_key_bytes + self.values.row_bytes)
        rows = np.frombuffer(data, np.uint8).reshape(shape).swapaxes(0, 1)
        self.keys.data[index] = rows[..., :n_key_bytes]
        self.values.data[index] = rows[..., n_key_bytes:]

    def bytes_of(self, n: int) -> int:
        """See `Cache.bytes_of`."""
        return self.shape.n_layers * self.shape.n_kv_heads * n * (self.keys.row_bytes + self.values.row_bytes)
