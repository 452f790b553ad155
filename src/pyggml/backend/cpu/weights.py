"""Weights in memory: matrices in tiles where their format has them, tables as the file has them, vectors as floats."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.arena import ALIGNMENT
from pyggml.backend.cpu.arguments import arguments
from pyggml_kernels.formats import FORMATS, Format, LevelFormat
from pyggml_kernels.jit import Kernel
from pyggml_kernels.matmul.values import VALUE_PRODUCTS
from pyggml_kernels.plan import Operation, Plan
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.threads import WorkerPool
from pyggml_kernels.tiles import floats, packing


@dataclass(frozen=True, eq=False)
class CPUWeight:
    """A matrix, a table of rows, or a vector of floats; owns (a view of) its bytes."""

    format: Format
    data: npt.NDArray[np.uint8]
    n_rows: int
    n_columns: int
    tile_bytes: int = 0
    """Bytes of a tile of 16 rows; 0 if the rows lie there as in the file."""

    @property
    def address(self) -> int:
        """Where the first row, or the first tile, begins."""
        return int(self.data.ctypes.data)

    @property
    def stride(self) -> int:
        """Bytes from one tile, or one row, to the next."""
        return self.tile_bytes or self.format.row_bytes(self.n_columns)


def place_table(data: npt.NDArray[np.uint8], form: Format, n_rows: int, n_columns: int) -> CPUWeight:
    """The rows where they are."""
    return CPUWeight(form, data, n_rows, n_columns)


def place_vector(data: npt.NDArray[np.uint8], form: Format, n_columns: int) -> CPUWeight:
    """The vector as floats."""
    return CPUWeight(FORMATS[0], form.dequantize(data).view(np.uint8), 1, n_columns)


def place_matrix(data: npt.NDArray[np.uint8], form: Format, n_rows: int, n_columns: int, pool: WorkerPool) -> CPUWeight:
    """The matrix in tiles if its format has some; otherwise its rows where they are."""
    rows = CPUWeight(form, data, n_rows, n_columns)
    if isinstance(form, LevelFormat) and form.packing is not None:
        return _pack_levels(rows, form, form.packing, pool)
    if form.name in VALUE_PRODUCTS:
        return _pack_floats(rows, pool)
    return rows


def _pack_levels(rows: CPUWeight, form: LevelFormat, how: packing.Packing, pool: WorkerPool) -> CPUWeight:
    tiles = _empty_tiles(rows, how.layout.tile_bytes(rows.n_columns))
    scratch_bytes = packing.scratch_bytes(rows.n_columns, form.group_size)
    scratch = np.empty(scratch_bytes * pool.n_workers, np.uint8)
    codes = how.codes()
    places: Mapping[str, Any] = form.layout.fields or {}
    integers = {
        0: rows.address,
        1: rows.stride,
        2: rows.n_rows,
        3: rows.n_columns,
        4: form.decode.address,
        5: form.block_size,
        6: form.block_bytes,
        7: tiles.address,
        8: tiles.tile_bytes,
        9: how.layout.n_bits,
        10: how.offset,
        11: codes.ctypes.data if codes is not None else 0,
        12: how.split.address if how.split else 0,
        13: form.group_size,
        14: places["d"][1],
        15: places[how.minimum_field][1] if how.minimum_field else -1,
        16: packing.SIGN_OF_HALF if how.adds_minimum else 0,
        17: int(how.layout.shared_bytes),
        18: how.layout.block_columns,
        19: int(scratch.ctypes.data),
        20: scratch_bytes,
    }
    _run(packing.pack_tile, arguments(packing.N_ARGUMENTS, integers), tiles, pool)
    return tiles


def _pack_floats(rows: CPUWeight, pool: WorkerPool) -> CPUWeight:
    n_bytes = rows.format.block_bytes
    tiles = _empty_tiles(rows, TILE_ROWS * rows.n_columns * n_bytes)
    integers = dict(enumerate([rows.address, rows.stride, rows.n_rows, rows.n_columns, tiles.address, n_bytes]))
    _run(floats.pack_floats, arguments(floats.PACK_ARGUMENTS, integers), tiles, pool)
    return tiles


def _empty_tiles(rows: CPUWeight, tile_bytes: int) -> CPUWeight:
    """Memory for tiles, at a cache line; rows that are not there are zero."""
    n_bytes = _n_tiles(rows) * tile_bytes
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    start = -int(memory.ctypes.data) % ALIGNMENT
    data = memory[start : start + n_bytes]
    if rows.n_rows % TILE_ROWS:
        data[-tile_bytes:] = 0
    return CPUWeight(rows.format, data, rows.n_rows, rows.n_columns, tile_bytes)


def _n_tiles(weight: CPUWeight) -> int:
    return -(-weight.n_rows // TILE_ROWS)


def _run(kernel: Kernel, words: npt.NDArray[np.int64], tiles: CPUWeight, pool: WorkerPool) -> None:
    pool.run(Plan([Operation(kernel, words, _n_tiles(tiles))]))
