"""Matrix products: of tiles for all batches, of rows of floats best for small ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyggml_cuda.formats import BFLOATS, TILE_COLUMNS, TILE_ROWS, RowFormat, TileFormat
from pyggml_cuda.launch import INT, LONG, POINTER, KernelName, Launch, blocks, filled, structure

#: Matrices that one launch multiplies with the same activations.
MAX_MATRICES = 3
#: Tokens that the kernels for small batches take, of tiles and of rows of floats; the latter take more, 8 by 8.
FEW_TOKENS, FEW_TOKENS_OF_ROWS = 16, 8

_MOST_PARTS = 16
#: Multiprocessors of a large GPU.
MULTIPROCESSORS = 132
_MOST_WASTE = 1.1
# Tokens, and the warps at most of a block, of the kernels for small batches.
_FEW_SHAPES = {1: 16, 8: 16, 16: 8}
_LEVEL_STRIDE = TILE_COLUMNS + 64
_NO_TILE = 1 << 30

ARGUMENTS = structure(
    dict.fromkeys(("weights", "biases", "addends", "outputs"), (POINTER, MAX_MATRICES))
    | dict.fromkeys(("levels", "scales", "sums", "parts"), POINTER)
    | dict.fromkeys(("n_rows", "first_tiles"), (INT, MAX_MATRICES))
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


def n_parts(form: TileFormat, n_columns: int, row_tiles: int) -> int:
    """How many parts a row's tiles are summed up in: in small batches a warp each, so of about equal lengths, and as
    many as still let the blocks of all rows run together.

    It depends on nothing but the matrices: the sums are then the same in every batch.
    """
    n_tiles, per_multiprocessor = blocks(n_columns, TILE_COLUMNS), blocks(row_tiles, MULTIPROCESSORS)
    most = min(n_tiles, _MOST_PARTS, max(form.n_warps // per_multiprocessor, 3 if form.n_warps > 16 else 2))
    return next(n for n in range(most, 0, -1) if blocks(n_tiles, n) * n <= _MOST_WASTE * n_tiles)


@dataclass(frozen=True)
class BlockShape:
    """What a block of the kernel for many tokens takes."""

    n_tokens: int
    n_warps: int
    """16 rows each"""


def block_shape(n_tokens: int, row_tiles: int, capability: tuple[int, int]) -> BlockShape:
    """Blocks as large as leave enough of them for all multiprocessors, and as there is shared memory for."""
    if capability < (8, 0):
        return BlockShape(32, 8)
    if n_tokens > 64:
        return BlockShape(64, 4)
    if n_tokens > 32 and row_tiles >= 6 * MULTIPROCESSORS:
        return BlockShape(64, 8)
    return BlockShape(32, 8)


def is_for_cublas(form: TileFormat | RowFormat, n_tokens: int, capability: tuple[int, int]) -> bool:
    """Whether cuBLAS is faster: for rows of floats in larger batches, of bfloats from compute capability 8.0 on."""
    has_products = isinstance(form, RowFormat) and (form.form != BFLOATS or capability >= (8, 0))
    return has_products and n_tokens > FEW_TOKENS_OF_ROWS


def multiply(
    form: TileFormat | RowFormat,
    matrices: Sequence[Matrix],
    x: Activation,
    n_tokens: int,
    n_columns: int,
    capability: tuple[int, int],
    shape: BlockShape | None = None,
) -> Launch:
    """Products of up to three matrices of one format and width with the same activations, on a GPU of some compute
    capability; `shape` for many tokens."""
    if isinstance(form, RowFormat):
        return _multiply_rows(form, matrices, x, n_tokens, n_columns)
    arguments, row_tiles = matmul_arguments(form, matrices, x, n_tokens, n_columns)
    if n_tokens <= FEW_TOKENS and shape is None:
        width = next(n for n in _FEW_SHAPES if n >= n_tokens)
        kernel = KernelName("matmul_few.cu", f"matmul_few<{form.expression}, {width}>", (form.header,))
        n_warps = min(int(arguments["n_parts"]), _FEW_SHAPES[width])
        return Launch(kernel, (row_tiles, 1, 1), 32 * n_warps, (arguments,))
    shape = shape or block_shape(n_tokens, row_tiles, capability)
    name = f"matmul_many<{form.expression}, {shape.n_tokens}, {shape.n_warps}>"
    grid = (blocks(n_tokens, shape.n_tokens), blocks(row_tiles, shape.n_warps), 1)
    # Two stages of activations at a tile: levels, scales and sums, each padded; the sums (src/matmul_many.cu).
    stages = 2 * shape.n_tokens * (_LEVEL_STRIDE + 9 * 4 + _sum_bytes(form) + 4)
    shared_bytes = stages + 4 * TILE_ROWS * shape.n_warps * shape.n_tokens
    kernel = KernelName("matmul_many.cu", name, (form.header,))
    return Launch(kernel, grid, 32 * shape.n_warps, (arguments,), shared_bytes)


def _sum_bytes(form: TileFormat) -> int:
    """Bytes of sums that the format's products read of 256 columns."""
    return 0 if form.expression in ("Q3_K", "Q6_K") else form.form.sum_bytes


def _multiply_rows(form: RowFormat, matrices: Sequence[Matrix], x: Activation, n_tokens: int, n_columns: int) -> Launch:
    arguments, row_tiles = _arguments(matrices, x, n_tokens, n_columns * form.number_bytes // 16, 1)
    width = next((n for n in (1, 2, 4) if n >= n_tokens), FEW_TOKENS_OF_ROWS)
    kernel = KernelName("dot_rows.cu", f"dot_rows<{form.expression}, {width}>")
    return Launch(kernel, (blocks(row_tiles * TILE_ROWS, 8), blocks(n_tokens, width), 1), 256, (arguments,))


def matmul_arguments(
    form: TileFormat, matrices: Sequence[Matrix], x: Activation, n_tokens: int, n_columns: int, parts: int = 0
) -> tuple[np.ndarray, int]:
    """The structure that all products of tiles take, and the number of tiles of rows; parts: an address."""
    n_tiles = blocks(n_columns, TILE_COLUMNS)
    count = n_parts(form, n_columns, n_row_tiles([each.n_rows for each in matrices]))
    arguments, row_tiles = _arguments(matrices, x, n_tokens, n_tiles, count)
    arguments["parts"] = parts
    return arguments, row_tiles


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


def n_row_tiles(rows: Sequence[int]) -> int:
    """The tiles of matrices of so many rows each."""
    return sum(blocks(each, TILE_ROWS) for each in rows)


def finish(output: int, bias: int, addend: int, n_rows: int, n: int) -> Launch:
    """Add bias and addend to `n` elements of a product that has neither."""
    arguments = (POINTER(output), POINTER(bias), POINTER(addend), INT(n_rows), LONG(n))
    kernel = KernelName("dot_rows.cu", "finish_product")
    return Launch(kernel, (blocks(n, 256), 1, 1), 256, tuple(np.asarray(each) for each in arguments))
