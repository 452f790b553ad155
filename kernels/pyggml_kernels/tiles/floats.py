"""Tiles of floats: column after column, 16 rows each, as 32-bit floats or in one of the 16-bit formats."""

from typing import Any

from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import i64, u16, u32
from pyggml_kernels.simd.rows import Operation, add_floats, add_multiples, store_rows, zeros_of
from pyggml_kernels.simd.vector import FLOATS, TILE_ROWS
from pyggml_kernels.tiles.operands import Tile, Tokens

PACK_ARGUMENTS = 6
#: Columns whose products are summed up before they join the total.
_SUM_COLUMNS = 256


@kernel
def pack_floats(arguments: int, chunk: int, worker: int) -> None:
    """Make one tile of numbers of 2 or 4 bytes.

    Arguments: 0 rows, 1 bytes of a row, 2 n_rows, 3 n_columns, 4 tiles, zeros, 5 bytes of a number.
    """
    a = i64(arguments, PACK_ARGUMENTS)
    n_columns = a[3]
    tile = a[4] + chunk * TILE_ROWS * n_columns * a[5]
    for lane in range(min(TILE_ROWS, a[2] - chunk * TILE_ROWS)):
        row = a[0] + (chunk * TILE_ROWS + lane) * a[1]
        if a[5] == 2:
            halves, target = u16(row, n_columns), u16(tile, TILE_ROWS * n_columns)
            for column in range(n_columns):
                target[column * TILE_ROWS + lane] = halves[column]
        else:
            words, wide_target = u32(row, n_columns), u32(tile, TILE_ROWS * n_columns)
            for column in range(n_columns):
                wide_target[column * TILE_ROWS + lane] = words[column]


def values_product(load_values: Operation, value_bytes: int, n_tokens: int) -> Operation:
    """A product with float weights, of the same arguments as those of `tiles.products`.

    Even and odd columns are summed apart: a core begins an addition before it has ended the one before.
    """
    column_bytes = value_bytes * TILE_ROWS
    floats = zeros_of(FLOATS, n_tokens)

    @device
    def product(tile: Tile, tokens: Tokens, out: int, out_stride: int) -> None:
        weights, n_columns, x, stride = tile.levels, tile.n_columns, tokens.levels, tokens.level_stride
        total: Any = floats()
        for start in range(0, n_columns, _SUM_COLUMNS):
            end = min(start + _SUM_COLUMNS, n_columns)
            even: Any = floats()
            odd: Any = floats()
            for column in range(start, end - 1, 2):
                even = add_multiples(even, load_values(weights + column * column_bytes), x + column * 4, stride)
                odd = add_multiples(
                    odd, load_values(weights + (column + 1) * column_bytes), x + (column + 1) * 4, stride
                )
            if (end - start) % 2:
                even = add_multiples(even, load_values(weights + (end - 1) * column_bytes), x + (end - 1) * 4, stride)
            total = add_floats(total, add_floats(even, odd))
        store_rows(total, out, out_stride)

    return product
