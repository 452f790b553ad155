"""Products with float weights: in tiles of F32, F16 or BF16, or in rows of any `FloatFormat`."""

from functools import partial
from typing import Any

from pyggml_kernels.calls import call_convert
from pyggml_kernels.jit import Kernel, device, kernel_from
from pyggml_kernels.matmul.batches import all_tokens
from pyggml_kernels.matmul.words import MIN_WIDE, N_COMMON, RESULT_BYTES, tile_range
from pyggml_kernels.memory import f32, i64
from pyggml_kernels.simd.rows import Operation, load_floats, load_halves, load_upper_halves
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import store_floats
from pyggml_kernels.tiles.floats import values_product
from pyggml_kernels.tiles.operands import Tile

#: Common words, then 18 the format's `load`: read if the weights are rows.
N_ARGUMENTS = N_COMMON + 1

# Bound below.
_all_tokens: Any = None
_make_floats: Any = None
_IN_ROWS = False


def scratch_bytes(n_columns: int) -> int:
    """Bytes of scratch one worker needs: results, a tile of floats, and 16 rows of them."""
    return RESULT_BYTES + 2 * TILE_ROWS * 4 * n_columns


def _multiply(arguments: int, chunk: int, worker: int) -> None:
    """A chunk of a product with floats."""
    a = i64(arguments, N_ARGUMENTS)
    results = a[9] + worker * a[10]
    floats = results + RESULT_BYTES
    first, last = tile_range(a, chunk)
    for index in range(first, last):
        wide = Tile(floats, 0, 0, 0, a[3], 0)
        if a[4] >= MIN_WIDE or _IN_ROWS:
            _make_floats(a, index, floats)
        _all_tokens(a, index, wide, wide if _IN_ROWS else Tile(a[0] + index * a[1], 0, 0, 0, a[3], 0), results)


def _widening(load_values: Operation, value_bytes: int) -> Operation:
    """Makes `(a, index, out)`: a tile of 16-bit floats as one of 32-bit floats."""

    @device
    def widen(a: Any, index: int, out: int) -> None:
        tile = a[0] + index * a[1]
        for column in range(a[3]):
            store_floats(out + column * TILE_ROWS * 4, load_values(tile + column * TILE_ROWS * value_bytes))

    return widen


@device
def _decode(a: Any, index: int, out: int) -> None:
    """Rows of any format, as a tile of floats. Rows that are not there are multiplied, too."""
    n_columns, n = a[3], min(a[2] - index * TILE_ROWS, TILE_ROWS)
    rows = out + TILE_ROWS * 4 * n_columns
    for row in range(n):
        call_convert(a[18], a[0] + (index * TILE_ROWS + row) * a[1], n_columns, rows + row * n_columns * 4)
    source, target = f32(rows, TILE_ROWS * n_columns), f32(out, TILE_ROWS * n_columns)
    for column in range(n_columns):
        for row in range(TILE_ROWS):
            target[column * TILE_ROWS + row] = source[row * n_columns + column]


def _floats_product(n_tokens: int) -> Operation:
    return values_product(load_floats, 4, n_tokens)


def _tile_product(name: str, load_values: Operation, value_bytes: int) -> Kernel:
    return kernel_from(
        _multiply,
        f"multiply_{name}",
        _all_tokens=all_tokens(_floats_product, partial(values_product, load_values, value_bytes)),
        _make_floats=_widening(load_values, value_bytes),
    )


#: The kernels for tiles, by the format's name.
VALUE_PRODUCTS = {
    "F32": _tile_product("f32", load_floats, 4),
    "F16": _tile_product("f16", load_halves, 2),
    "BF16": _tile_product("bf16", load_upper_halves, 2),
}

#: The kernel for rows.
ROW_PRODUCT = kernel_from(
    _multiply,
    "multiply_rows",
    _all_tokens=all_tokens(_floats_product, _floats_product),
    _make_floats=_decode,
    _IN_ROWS=True,
)
