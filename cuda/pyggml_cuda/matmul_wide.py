"""Matrix products with many tokens by warpgroups, which GPUs of compute capability 9.0 have: see src/matmul_wide.cu."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyggml_cuda.formats import RowFormat, TileFormat, WideForm
from pyggml_cuda.launch import KernelName, Launch, blocks
from pyggml_cuda.matmul import FEW_TOKENS, MULTIPROCESSORS, Activation, Matrix, matmul_arguments, n_parts, n_row_tiles

#: The architecture that has them.
CAPABILITY, _ARCHITECTURE = (9, 0), "90a"
#: Tiles of rows of a block, and its threads.
_ROW_TILES, _THREADS = 8, 384
_RING_RUNS = 8


def wide_form(form: TileFormat | RowFormat, n_tokens: int, capability: tuple[int, int]) -> WideForm | None:
    """The form of activations for products of a format in this way; None if there is none, or another way is faster."""
    if isinstance(form, TileFormat) and n_tokens > FEW_TOKENS and capability == CAPABILITY:
        return form.wide_form
    return None


@dataclass(frozen=True)
class WideShape:
    """How products are cut into blocks."""

    n_tokens: int
    """Of a block: 64 or 128."""
    is_split: bool
    """Whether a block sums up one part of its rows' tiles, and another launch adds the parts."""


def wide_shape(n_tokens: int, row_tiles: int, parts: int) -> WideShape:
    """The largest blocks; split where they are too few for all multiprocessors."""
    width = 64 if n_tokens <= 64 else 128
    n_blocks = blocks(n_tokens, width) * blocks(row_tiles, _ROW_TILES)
    return WideShape(width, parts > 1 and n_blocks < MULTIPROCESSORS)


def parts_bytes(form: TileFormat, rows: Sequence[int], n_tokens: int, n_columns: int) -> int:
    """The bytes of what blocks find for matrices of so many rows, if they are split; else 0."""
    tiles = n_row_tiles(rows)
    parts = n_parts(form, n_columns, tiles)
    return 64 * parts * n_tokens * tiles if wide_shape(n_tokens, tiles, parts).is_split else 0


def multiply(
    form: TileFormat,
    matrices: Sequence[Matrix],
    x: Activation,
    n_tokens: int,
    n_columns: int,
    parts: int,
    shape: WideShape | None = None,
) -> list[Launch]:
    """Products of up to three matrices of one format and width with the same activations, in its wide form; `parts` is
    the address of `parts_bytes` bytes."""
    arguments, tiles = matmul_arguments(form, matrices, x, n_tokens, n_columns, parts)
    count = int(arguments["n_parts"])
    shape = shape or wide_shape(n_tokens, tiles, count)
    kernel = KernelName(
        "matmul_wide.cu", f"matmul_wide<{form.expression}, {shape.n_tokens}>", (form.header,), _ARCHITECTURE
    )
    grid = (blocks(n_tokens, shape.n_tokens), blocks(tiles, _ROW_TILES), count if shape.is_split else 1)
    product = Launch(kernel, grid, _THREADS, (arguments,), _shared_bytes(shape.n_tokens))
    if not shape.is_split:
        return [product]
    adding = KernelName("matmul_wide.cu", "add_parts", (form.header,), _ARCHITECTURE)
    return [product, Launch(adding, (blocks(16 * tiles, 256), n_tokens, 1), 256, (arguments,))]


def _shared_bytes(n_tokens: int) -> int:
    """The ring's runs, sums and scales of two tiles, the parts' sums; barriers, and what is skipped before the ring."""
    return n_tokens * (128 * _RING_RUNS + 2 * (32 + 4) + 512) + 16 * _RING_RUNS + 1024
