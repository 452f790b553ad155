"""Blocks that the device cannot read to tiles: the host decodes them to levels and scales, which the device packs."""

import numpy as np
import numpy.typing as npt

from pyggml_cuda.formats import TILE_COLUMNS, TILE_ROWS
from pyggml_cuda.launch import INT, POINTER, KernelName, Launch, blocks, filled, structure
from pyggml_kernels.formats import LevelFormat

ARGUMENTS = structure(
    dict.fromkeys(("levels", "scales", "minimums", "target"), POINTER)
    | dict.fromkeys(("n_rows", "n_columns", "n_tiles"), INT)
)


def decoded_bytes(form: LevelFormat, n_rows: int, n_columns: int) -> int:
    """Bytes of rows that are decoded: levels, then the scales of groups, then the minimums if there are any."""
    n_groups = n_columns // form.group_size
    return n_rows * (n_columns + 4 * n_groups * (1 + form.has_minimum))


def decode(form: LevelFormat, rows: npt.NDArray[np.uint8], n_columns: int, target: npt.NDArray[np.uint8]) -> None:
    """Decode rows of blocks into so many bytes."""
    n_rows = rows.size // form.row_bytes(n_columns)
    n_floats = n_rows * n_columns // form.group_size
    scales = target.ctypes.data + n_rows * n_columns
    # Every format has minimums when it is decoded, if only zeros.
    zeros = np.empty(0 if form.has_minimum else n_floats, np.float32)
    minimums = scales + 4 * n_floats if form.has_minimum else zeros.ctypes.data
    source = np.ascontiguousarray(rows)
    n_blocks = n_rows * n_columns // form.block_size
    form.decode(source.ctypes.data, n_blocks, target.ctypes.data, scales, minimums)


def pack_decoded(form: LevelFormat, source: int, target: int, n_rows: int, n_columns: int) -> Launch:
    """Make tiles at `target` of rows that are decoded, at `source`."""
    n_tiles = blocks(n_columns, TILE_COLUMNS)
    scales = source + n_rows * n_columns
    minimums = scales + 4 * n_rows * n_columns // form.group_size if form.has_minimum else 0
    values = {
        "levels": source,
        "scales": scales,
        "minimums": minimums,
        "target": target,
        "n_rows": n_rows,
        "n_columns": n_columns,
        "n_tiles": n_tiles,
    }
    kernel = KernelName("pack_decoded.cu", f"pack_decoded<{form.group_size}, {str(form.has_minimum).lower()}>")
    return Launch(kernel, (n_tiles, blocks(n_rows, TILE_ROWS), 1), 256, (filled(ARGUMENTS, values),))
