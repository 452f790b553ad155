"""Tiles of weights made by NumPy: the twin of src/pack.cu and of src/pack_decoded.cu.

See src/planes.cuh for the order of levels in a tile.
"""

import numpy as np
import numpy.typing as npt

from pyggml_cuda.formats import TILE_COLUMNS, TILE_ROWS
from pyggml_kernels.formats import LevelFormat

Bytes = npt.NDArray[np.uint8]


def level_planes(levels: npt.NDArray[np.int8], base: int, extra: int) -> Bytes:
    """The planes of levels (n_rows, n_columns), in multiples of a tile's: (row tiles, tiles, bytes)."""
    n_rows, n_columns = levels.shape
    codes = (levels.view(np.uint8) << (8 - base - extra)).astype(np.uint8)
    # Row tile, row + 8, row; tile, step, column + 16, lane of four, byte.
    split = codes.reshape(n_rows // TILE_ROWS, 2, 8, n_columns // TILE_COLUMNS, 8, 2, 4, 4)
    registers = split.transpose(0, 3, 4, 5, 1, 2, 6, 7).reshape(*split.shape[0:4:3], 32, 32, 4)
    planes = [_plane(registers, base, 0), *([_plane(registers, extra, base)] if extra else [])]
    return np.concatenate(planes, axis=-1)


def _plane(registers: Bytes, bits: int, skip: int) -> Bytes:
    """`bits` bits of each level, below the first `skip`, of registers (row tiles, tiles, register, lane, byte)."""
    top = np.uint8(0xFF00 >> bits & 0xFF)
    per_word = 8 // bits
    grouped = ((registers << skip) & top).reshape(*registers.shape[:2], 32 // per_word, per_word, 32, 4)
    words = np.zeros((*registers.shape[:2], 32 // per_word, 32, 4), np.uint8)
    for i in range(per_word):
        words |= grouped[:, :, :, i] >> (bits * i)
    # Four words a lane, then the lanes' next four.
    fours = words.reshape(*words.shape[:2], bits, 4, 32, 4).transpose(0, 1, 2, 4, 3, 5)
    return fours.reshape(*words.shape[:2], -1)


def padded(rows: npt.NDArray[np.generic], n_rows: int, n_columns: int) -> npt.NDArray[np.generic]:
    """The rows with zeros to the right of them and below."""
    return np.pad(rows, ((0, n_rows - rows.shape[0]), (0, n_columns - rows.shape[1])))


def decode(
    form: LevelFormat, data: Bytes, n_rows: int, n_columns: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A matrix's levels (n_rows, n_columns), and the scales and minimums (n_rows, n_groups)."""
    source = np.ascontiguousarray(data)
    n_groups = n_columns // form.group_size
    levels = np.empty((n_rows, n_columns), np.int8)
    scales, minimums = np.empty((n_rows, n_groups), np.float32), np.empty((n_rows, n_groups), np.float32)
    n_blocks = n_rows * n_columns // form.block_size
    form.decode(source.ctypes.data, n_blocks, levels.ctypes.data, scales.ctypes.data, minimums.ctypes.data)
    return levels, scales, minimums


def decoded_tiles(form: LevelFormat, data: Bytes, n_rows: int, n_columns: int) -> Bytes:
    """A matrix as tiles of bytes and floats (src/formats/decoded.cuh): (row tiles, tiles, bytes)."""
    levels, scales, minimums = decode(form, data, n_rows, n_columns)
    rows, columns = (-(-n // size) * size for n, size in ((n_rows, TILE_ROWS), (n_columns, TILE_COLUMNS)))
    planes = level_planes(padded(levels, rows, columns).astype(np.int8), 8, 0)
    per_tile = TILE_COLUMNS // form.group_size
    parts = [planes]
    for floats in (scales, minimums)[: 1 + form.has_minimum]:
        whole = padded(floats, rows, columns // form.group_size).astype(np.float32)
        tiles = whole.reshape(rows // TILE_ROWS, TILE_ROWS, -1, per_tile).transpose(0, 2, 1, 3)
        parts.append(np.ascontiguousarray(tiles).reshape(*planes.shape[:2], -1).view(np.uint8))
    return np.concatenate(parts, axis=-1)
