"""Products with blocks of any `LevelFormat`: 16 rows are decoded and arranged as a tile, then multiplied."""

from typing import Any

from pyggml_kernels.calls import call_decode
from pyggml_kernels.jit import Kernel, device, kernel_from
from pyggml_kernels.matmul.batches import all_tokens
from pyggml_kernels.matmul.words import N_COMMON, RESULT_BYTES, tile_range
from pyggml_kernels.memory import f32, i64, u32
from pyggml_kernels.simd.levels import PART_COLUMNS
from pyggml_kernels.simd.rows import Operation
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.operands import Tile
from pyggml_kernels.tiles.products import float_product

#: Common words, then 18 `decode` and 19 block_size of the format.
N_ARGUMENTS = N_COMMON + 2
#: Added to the levels of a tile, so that none is negative.
_OFFSET = 128

# Bound below, by the size of groups.
_all_tokens: Any = None


def scratch_bytes(n_columns: int, group_size: int) -> int:
    """Bytes of scratch one worker needs: results, levels and scales twice, row by row and as a tile, and minimums."""
    return RESULT_BYTES + TILE_ROWS * (2 * n_columns + 3 * 4 * (n_columns // group_size))


@device
def _arrange(levels: int, n_columns: int, out: int) -> None:
    """Sixteen rows of signed bytes, as a tile of bytes that are larger by the offset."""
    n = n_columns // 4
    source, target = u32(levels, TILE_ROWS * n), u32(out, TILE_ROWS * n)
    for column in range(n):
        for row in range(TILE_ROWS):
            target[column * TILE_ROWS + row] = source[row * n + column] ^ 0x80808080


@device
def _transpose(rows: int, n: int, out: int) -> None:
    """Sixteen rows of `n` floats, column by column."""
    source, target = f32(rows, TILE_ROWS * n), f32(out, TILE_ROWS * n)
    for column in range(n):
        for row in range(TILE_ROWS):
            target[column * TILE_ROWS + row] = source[row * n + column]


def _multiply(arguments: int, chunk: int, worker: int) -> None:
    """A chunk of a product with blocks."""
    a = i64(arguments, N_ARGUMENTS)
    n_columns, n_groups = a[3], a[3] // a[17]
    results = a[9] + worker * a[10]
    levels = results + RESULT_BYTES
    tile_levels = levels + TILE_ROWS * n_columns
    scales = tile_levels + TILE_ROWS * n_columns
    tile_scales, minimums = scales + TILE_ROWS * n_groups * 4, scales + 2 * TILE_ROWS * n_groups * 4
    scale_stride = PART_COLUMNS // a[17] * TILE_ROWS * 4
    first, last = tile_range(a, chunk)
    for index in range(first, last):
        for row in range(min(a[2] - index * TILE_ROWS, TILE_ROWS)):
            source = a[0] + (index * TILE_ROWS + row) * a[1]
            n_bytes = row * n_groups * 4
            call_decode(
                a[18], source, n_columns // a[19], levels + row * n_columns, scales + n_bytes, minimums + n_bytes
            )
        # Rows that are not there are multiplied, too, and their results forgotten.
        _arrange(levels, n_columns, tile_levels)
        _transpose(scales, n_groups, tile_scales)
        tile = Tile(tile_levels, PART_COLUMNS * TILE_ROWS, tile_scales, scale_stride, n_columns, _OFFSET)
        _all_tokens(a, index, tile, tile, results)


def _product(group_size: int) -> Kernel:
    def make(n_tokens: int) -> Operation:
        layout = TileLayout(8, group_size, integer_scales=False, has_minimum=False)
        return float_product(layout, n_tokens, halves=False)

    return kernel_from(_multiply, f"multiply_blocks_{group_size}", _all_tokens=all_tokens(make, make))


#: The kernels by the size of groups.
BLOCK_PRODUCTS = {group_size: _product(group_size) for group_size in (16, 32)}
