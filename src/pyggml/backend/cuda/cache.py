"""The paged cache of keys and values on the device."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyggml.backend.cuda.failures import at_work
from pyggml.backend.gpu_limits import check_cache
from pyggml.backend.graph import Rope
from pyggml.backend.protocol import CacheShape
from pyggml_cuda.cache_store import RowStore
from pyggml_kernels.cache_formats import CACHE_FORMATS
from pyggml_kernels.hadamard import hadamard_size


class CUDACache:
    """Pages of keys and values of all layers, on the GPU of this number, which is the current one when it is made."""

    def __init__(self, shape: CacheShape, number: int) -> None:
        if shape.n_layers:
            check_cache(shape)
        self.shape = shape
        self._number = number
        pages = (shape.n_pages, shape.n_layers, shape.n_kv_heads, shape.page_size)
        self.keys = RowStore(shape.key_format, pages, shape.key_size, _rotation(shape.key_format, shape.key_size, True))
        rotation = _rotation(shape.value_format, shape.value_size, False)
        self.values = RowStore(shape.value_format, pages, shape.value_size, rotation)

    def move(self, pages: Sequence[int], source: int, target: int, n: int, rope: Rope) -> None:
        """See `Cache.move`."""
        with at_work(self._number):
            self.keys.move(pages, source, target, n, (_angles(target - source, rope), rope.halves))
            self.values.move(pages, source, target, n, None)

    def copy_page(self, source: int, target: int) -> None:
        """See `Cache.copy_page`."""
        with at_work(self._number):
            self.keys.copy_page(source, target)
            self.values.copy_page(source, target)

    def read(self, pages: Sequence[int], n: int) -> bytes:
        """See `Cache.read`."""
        with at_work(self._number):
            rows = np.concatenate([self.keys.read(pages, n), self.values.read(pages, n)], axis=-1)
        return rows.swapaxes(0, 1).tobytes()

    def write(self, pages: Sequence[int], n: int, data: bytes) -> None:
        """See `Cache.write`."""
        n_key_bytes = self.keys.row_bytes
        shape = (self.shape.n_layers, n, self.shape.n_kv_heads, n_key_bytes + self.values.row_bytes)
        rows = np.frombuffer(data, np.uint8).reshape(shape).swapaxes(0, 1)
        with at_work(self._number):
            self.keys.write(pages, n, rows[..., :n_key_bytes])
            self.values.write(pages, n, rows[..., n_key_bytes:])

    def bytes_of(self, n: int) -> int:
        """See `Cache.bytes_of`."""
        return self.shape.n_layers * self.shape.n_kv_heads * n * (self.keys.row_bytes + self.values.row_bytes)


def _rotation(name: str, size: int, largest: bool) -> int:
    return hadamard_size(CACHE_FORMATS[name], size, largest=largest)


def _angles(distance: int, rope: Rope) -> npt.NDArray[np.float32]:
    """Cosines and sines (2, n_pairs) for turning keys by a distance, without the amplitude, which they have already.

    The angle is reached by repeated multiplication, as when the keys were turned first.
    """
    steps = np.full(rope.n_pairs, rope.theta_scale, np.float32)
    steps[0] = distance
    extrapolated = np.multiply.accumulate(steps) / rope.factors
    angle = np.float32(rope.frequency_scale) * extrapolated
    if rope.extrapolation:
        first, last = rope.ramp
        ramp = (np.arange(rope.n_pairs) - first) / max(0.001, last - first)
        mix = ((1 - np.clip(ramp, 0, 1)) * rope.extrapolation).astype(np.float32)
        angle = angle * (1 - mix) + extrapolated * mix
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
