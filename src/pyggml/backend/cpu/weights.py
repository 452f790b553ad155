"""Weights in memory: matrices stay where the file is mapped, vectors become floats."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats import FORMATS, Format


@dataclass(frozen=True, eq=False)
class CPUWeight:
    """A matrix of blocks, or a vector of floats; owns (a view of) its bytes."""

    format: Format
    data: npt.NDArray[np.uint8]
    n_rows: int
    n_columns: int

    @property
    def address(self) -> int:
        """Where the first row begins."""
        return int(self.data.ctypes.data)

    @property
    def row_bytes(self) -> int:
        """Bytes from one row to the next."""
        return self.format.row_bytes(self.n_columns)


def place_matrix(
    data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int, formats: Mapping[int, Format] = FORMATS
) -> CPUWeight:
    """The matrix in its format, where it is."""
    return CPUWeight(formats[type_id], data, n_rows, n_columns)


def place_vector(
    data: npt.NDArray[np.uint8], type_id: int, n_columns: int, formats: Mapping[int, Format] = FORMATS
) -> CPUWeight:
    """The vector as floats."""
    floats = formats[type_id].dequantize(data)
    return CPUWeight(FORMATS[0], floats.view(np.uint8), 1, n_columns)
