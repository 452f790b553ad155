"""Weights on the device: matrices in tiles or rows, vectors as floats; tables of rows stay where the file is mapped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.cuda.failures import room_for
from pyggml.backend.gpu_limits import check_matrix
from pyggml.backend.protocol import Weight
from pyggml_cuda import device, layout, pack
from pyggml_cuda.formats import RowFormat, TileFormat, device_format
from pyggml_kernels.formats import FORMATS, Format, LevelFormat


@dataclass(frozen=True, eq=False)
class CUDAWeight:
    """A matrix or a vector in the device's memory."""

    format: TileFormat | RowFormat
    memory: Any
    n_rows: int
    n_columns: int

    @property
    def address(self) -> int:
        """Where it begins."""
        return int(self.memory.data.ptr)


@dataclass(frozen=True, eq=False)
class HostTable:
    """A matrix whose rows are looked up, in main memory."""

    format: Format
    data: npt.NDArray[np.uint8]
    n_rows: int
    n_columns: int

    def rows(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Rows of floats, (len(numbers), n_columns)."""
        rows = self.data.reshape(self.n_rows, -1)[numbers]
        return self.format.dequantize(rows).reshape(len(numbers), self.n_columns)


def place_matrix(data: npt.NDArray[np.uint8], form: Format, n_rows: int, n_columns: int, number: int) -> CUDAWeight:
    """The matrix on a GPU, in the layout of its format; ModelError for rows that kernels cannot read."""
    check_matrix(form, n_columns)
    with room_for(f"a matrix of {n_rows} x {n_columns} in {form.name}", number):
        return _place(data, form, n_rows, n_columns)


def _place(data: npt.NDArray[np.uint8], form: Format, n_rows: int, n_columns: int) -> CUDAWeight:
    placed = device_format(form)
    if isinstance(placed, RowFormat):
        return CUDAWeight(placed, device.upload(data), n_rows, n_columns)
    if not placed.packed_on_device:
        if not isinstance(form, LevelFormat):
            raise TypeError(f"{form.name} has no levels")
        tiles = layout.decoded_tiles(form, data, n_rows, n_columns)
        return CUDAWeight(placed, device.upload(tiles), n_rows, n_columns)
    memory = device.allocate(pack.packed_bytes(placed, n_rows, n_columns))
    blocks = device.upload(data)
    launch = pack.pack(placed, form.block_size, blocks.data.ptr, memory.data.ptr, n_rows, n_columns)
    device.run_now(launch)
    return CUDAWeight(placed, memory, n_rows, n_columns)


def place_vector(data: npt.NDArray[np.uint8], form: Format, n_columns: int, number: int) -> CUDAWeight:
    """The vector on a GPU, as floats."""
    placed = device_format(FORMATS[0])
    with room_for(f"a vector of {n_columns}", number):
        return CUDAWeight(placed, device.upload(form.dequantize(data).view(np.uint8)), 1, n_columns)


def cuda_weight(weight: Weight) -> CUDAWeight:
    """The weight as this backend placed it."""
    if not isinstance(weight, CUDAWeight):
        raise TypeError("a CUDA plan needs weights placed on the GPU")
    return weight


def host_table(weight: Weight) -> HostTable:
    """The table as this backend placed it."""
    if not isinstance(weight, HostTable):
        raise TypeError("a CUDA plan looks up rows in tables that this backend placed")
    return weight
