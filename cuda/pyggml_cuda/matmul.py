"""Matrix products: of tiles for all batches, of rows of floats for small ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyggml_cuda.formats import TILE_COLUMNS, TILE_ROWS, RowFormat, TileFormat
from pyggml_cuda.launch import INT, LONG, POINTER, KernelName, Launch, blocks, filled, structure

#: Matrices that one launch multiplies with the same activations.
MAX_MATRICES = 3
#: Tokens that the kernels for small batches take.
FEW_TOKENS = 8

_MOST_PARTS = 8
_TOKENS_PER_BLOCK, _WARPS_PER_BLOCK = 64, 8
_LEVEL_STRIDE = TILE_COLUMNS + 64
_NO_TILE = 1 << 30

ARGUMENTS = structure(
    {name: (POINTER, MAX_MATRICES) for name in ("weights", "biases", "addends", "outputs")}
    | dict.fromkeys(("levels", "scales", "sums"), POINTER)
    | {name: (INT, MAX_MATRICES) for name in ("n_rows", "first_tiles")}
    | dict.fromkeys(
        ("n_row_tiles", "n_tiles", "n_parts", "n_tokens", "level_stride", "scale_stride", "sum_stride"), INT
    )
)


@dataclass(frozen=True)
class Matrix:
    """A matrix and what becomes of its product; addresses, 0 for what there is not."""

    weights: int
    n_rows: int
    output: int
    """(n_tokens, n_rows) floats"""
    bias: int = 0
    addend: int = 0
    """(n_tokens, n_rows) floats that are added"""


@dataclass(frozen=True)
class Activation:
    """Rows in some form; addresses, and strides as in `Form`."""

    levels: int
    scales: int
    sums: int
    level_stride: int
    scale_stride: int
    sum_stride: int


def n_parts(n_tiles: int) -> int:
    """How many parts a row's tiles are summed up in: a warp each in small batches, so of equal lengths if possible.

    It depends on nothing but the matrix: the sums are then the same in every batch.
    """
    return min(range(min(n_tiles, _MOST_PARTS), 0, -1), key=lambda parts: (_rounds(n_tiles, parts), -parts))


def _rounds(n_tiles: int, parts: int) -> int:
    """Tiles that could be summed up in the time the longest part takes; a part for each warp of half a block at least."""
    return blocks(n_tiles, parts) * max(parts, min(n_tiles, _MOST_PARTS // 2))


def multiply(
    form: TileFormat | RowFormat, matrices: Sequence[Matrix], x: Activation, n_tokens: int, n_columns: int
) -> Launch:
    """Products of up to three matrices of one format and width with the same activations."""
    if isinstance(form, RowFormat):
        return _multiply_rows(form, matrices, x, n_tokens, n_columns)
    n_tiles = blocks(n_columns, TILE_COLUMNS)
    parts = n_parts(n_tiles)
    arguments, n_row_tiles = _arguments(matrices, x, n_tokens, n_tiles, parts)
    if n_tokens <= FEW_TOKENS:
        name = f"matmul_few<{form.expression}, {str(n_tokens == 1).lower()}>"
        kernel = KernelName("matmul_few.cu", name, (form.header,))
        return Launch(kernel, (n_row_tiles, 1, 1), 32 * parts, (arguments,))
    kernel = KernelName("matmul_many.cu", f"matmul_many<{form.expression}>", (form.header,))
    grid = (blocks(n_tokens, _TOKENS_PER_BLOCK), blocks(n_row_tiles, _WARPS_PER_BLOCK), 1)
    return Launch(kernel, grid, 32 * _WARPS_PER_BLOCK, (arguments,), many_shared_bytes(form))


def many_shared_bytes(form: TileFormat) -> int:
    """Two stages of activations at a tile: levels, scales and sums, each padded (src/matmul_many.cu)."""
    return 2 * _TOKENS_PER_BLOCK * (_LEVEL_STRIDE + 9 * 4 + _sum_bytes(form) + 4)


def _sum_bytes(form: TileFormat) -> int:
    """Bytes of sums that the format's products read of 256 columns."""
    return 0 if form.expression in ("Q3_K", "Q6_K") else form.form.sum_bytes


def _multiply_rows(
    form: RowFormat, matrices: Sequence[Matrix], x: Activation, n_tokens: int, n_columns: int
) -> Launch:
    arguments, n_row_tiles = _arguments(matrices, x, n_tokens, n_columns * form.number_bytes // 16, 1)
    width = next(n for n in (1, 2, 4, 8) if n >= n_tokens)
    kernel = KernelName("dot_rows.cu", f"dot_rows<{form.expression}, {width}>")
    return Launch(kernel, (blocks(n_row_tiles * TILE_ROWS, 8), 1, 1), 256, (arguments,))


def _arguments(
    matrices: Sequence[Matrix], x: Activation, n_tokens: int, n_tiles: int, parts: int
) -> tuple[np.ndarray, int]:
    """The structure, and the number of tiles of rows."""
    tiles = [blocks(each.n_rows, TILE_ROWS) for each in matrices]
    absent = MAX_MATRICES - len(matrices)
    firsts = [sum(tiles[:i]) for i in range(len(tiles))]
    values = {
        "weights": [each.weights for each in matrices] + [0] * absent,
        "biases": [each.bias for each in matrices] + [0] * absent,
        "addends": [each.addend for each in matrices] + [0] * absent,
        "outputs": [each.output for each in matrices] + [0] * absent,
        "levels": x.levels,
        "scales": x.scales,
        "sums": x.sums,
        "n_rows": [each.n_rows for each in matrices] + [0] * absent,
        "first_tiles": firsts + [_NO_TILE] * absent,
        "n_row_tiles": sum(tiles),
        "n_tiles": n_tiles,
        "n_parts": parts,
        "n_tokens": n_tokens,
        "level_stride": x.level_stride,
        "scale_stride": x.scale_stride,
        "sum_stride": x.sum_stride,
    }
    return filled(ARGUMENTS, values), sum(tiles)


def finish(output: int, bias: int, addend: int, n_rows: int, n: int) -> Launch:
    """Add bias and addend to `n` elements of a product that has neither."""
    arguments = (POINTER(output), POINTER(bias), POINTER(addend), INT(n_rows), LONG(n))
    kernel = KernelName("dot_rows.cu", "finish_product")
    return Launch(kernel, (blocks(n, 256), 1, 1), 256, tuple(np.asarray(each) for each in arguments))
