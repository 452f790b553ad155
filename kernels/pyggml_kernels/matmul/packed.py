"""Products with weights in tiles (see `tiles.layout`): a few tokens read them as they are, more share wider levels."""

from functools import cache, partial
from typing import Any

from pyggml_kernels.jit import Kernel, device, kernel_from
from pyggml_kernels.matmul.batches import all_tokens
from pyggml_kernels.matmul.words import MIN_WIDE, N_COMMON, RESULT_BYTES, tile_range
from pyggml_kernels.memory import i64
from pyggml_kernels.simd.levels import PART_COLUMNS, part_bytes
from pyggml_kernels.simd.rows import Operation
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import widen_part_of
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.operands import Tile
from pyggml_kernels.tiles.packing import Packing
from pyggml_kernels.tiles.products import float_product, integer_product

#: Common words, then 18 the offset of the levels.
N_ARGUMENTS = N_COMMON + 1

# Bound by `packed_product`.
_all_tokens: Any = None
_widen: Any = None
_LAYOUT_BYTES: tuple[int, int, int] = (0, 0, 0)


def scratch_bytes(n_columns: int) -> int:
    """Bytes of scratch one worker needs: results, and a tile of wide levels."""
    return RESULT_BYTES + TILE_ROWS * n_columns


def _multiply(arguments: int, chunk: int, worker: int) -> None:
    """A chunk of a product with tiles of one layout."""
    a = i64(arguments, N_ARGUMENTS)
    level_bytes, block_bytes, wide_bytes = _LAYOUT_BYTES
    results = a[9] + worker * a[10]
    wide = results + RESULT_BYTES
    first, last = tile_range(a, chunk)
    for index in range(first, last):
        levels = a[0] + index * a[1]
        packed_tile = Tile(levels, block_bytes, levels + level_bytes, block_bytes, a[3], a[18])
        wide_tile = Tile(wide, wide_bytes, levels + level_bytes, block_bytes, a[3], a[18])
        if a[4] >= MIN_WIDE:
            _widen(levels, a[3], wide)
        _all_tokens(a, index, wide_tile, packed_tile, results)


def _widening(layout: TileLayout) -> Operation:
    """Makes `(tile, n_columns, out)`: the levels of a tile as bytes."""
    widen_part, n_bytes = widen_part_of(layout.n_bits, layout.table), part_bytes(layout.n_bits)
    block_columns, block_bytes = layout.block_columns, layout.block_bytes

    @device
    def widen(tile: int, n_columns: int, out: int) -> None:
        for _ in range(0, n_columns, block_columns):
            for part in range(block_columns // PART_COLUMNS):
                widen_part(tile + part * n_bytes, out)
                out += PART_COLUMNS * TILE_ROWS
            tile += block_bytes

    return widen


@cache
def packed_product(packing: Packing) -> Kernel:
    """The kernel for tiles of a layout."""
    layout, wide = packing.layout, packing.wide
    make = integer_product if layout.integer_scales else float_product
    return kernel_from(
        _multiply,
        f"multiply_{layout.name}",
        _all_tokens=all_tokens(partial(make, wide), partial(make, layout)),
        _widen=_widening(layout),
        _LAYOUT_BYTES=(layout.level_bytes, layout.block_bytes, wide.level_bytes),
    )
