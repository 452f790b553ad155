"""A GPU that is not there: it counts the bytes that weights and a cache would take on one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.backend.gpu_limits import cache_bytes, check_cache, check_matrix, matrix_bytes
from pyggml.backend.protocol import CacheShape
from pyggml_kernels.formats import Format


@dataclass(frozen=True)
class CountedWeight:
    """A weight that lies nowhere."""

    n_rows: int
    n_columns: int


class MainMemory:
    """A place that is no GPU, and takes everything; holds nothing."""

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.matrix`."""
        return CountedWeight(n_rows, n_columns)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.table`."""
        return CountedWeight(n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CountedWeight:
        """See `Backend.vector`."""
        return CountedWeight(1, n_columns)


class CountingGPU:
    """Refuses what a GPU does not take, as the CUDA backend does; holds nothing."""

    def __init__(self, formats: Mapping[int, Format]) -> None:
        self.n_bytes = 0
        self.n_passing_bytes = 0
        """Bytes of the largest matrix as the file has it: it passes through the GPU's memory."""
        self._formats = formats

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.matrix`."""
        check_matrix(self._formats[type_id], n_columns)
        self.n_bytes += matrix_bytes(self._formats[type_id], n_rows, n_columns)
        self.n_passing_bytes = max(self.n_passing_bytes, data.nbytes)
        return CountedWeight(n_rows, n_columns)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.table`: tables stay in main memory."""
        return CountedWeight(n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CountedWeight:
        """See `Backend.vector`."""
        self.n_bytes += 4 * n_columns
        return CountedWeight(1, n_columns)

    def count_cache(self, shape: CacheShape) -> None:
        """Add a cache."""
        check_cache(shape)
        self.n_bytes += cache_bytes(shape)
