"""From rows of blocks, as they lie in a file, to tiles; done once, when weights are loaded."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pyggml_kernels.calls import call_decode, call_split
from pyggml_kernels.jit import Kernel, device, kernel
from pyggml_kernels.memory import i64, u8, u16, u32
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.tiles.layout import TileLayout

N_ARGUMENTS = 21
#: The bit of a half that turns its sign.
SIGN_OF_HALF = 0x8000


@dataclass(frozen=True)
class Packing:
    """How the blocks of a format become tiles."""

    layout: TileLayout
    offset: int
    """What is added to the format's levels so that none is negative."""
    split: Kernel | None = None
    """`(source, n_blocks, scales, minimums)`: the integer scales and minimums, a byte for each group."""
    minimum_field: str = ""
    """The field of a block that holds the half for minimums, if there are any; that for scales is `d`."""
    adds_minimum: bool = False
    """Whether that half is added to weights, not subtracted."""

    @property
    def wide(self) -> TileLayout:
        """The layout of the same scales with levels of 8 bits, as they are for a batch of tokens."""
        return replace(self.layout, n_bits=8, table=())

    def codes(self) -> npt.NDArray[np.uint8] | None:
        """With a table, the 4-bit level for each level of the format, plus 128."""
        if not self.layout.table:
            return None
        result = np.zeros(256, np.uint8)
        result[np.array(self.layout.table) - self.offset + 128] = np.arange(16)
        return result


def scratch_bytes(n_columns: int, group_size: int) -> int:
    """Bytes of scratch one worker needs for `pack_tile`: a row's levels, and what decoding gives besides."""
    return n_columns + 10 * (n_columns // group_size)


@device
def _pack_plane(row: int, n_bits: int, lowest: int, plane: int) -> None:
    """Some bits of 32 levels of one row, as one plane holds them (see `simd.levels`)."""
    words, out = u32(row, 8), u32(plane, n_bits * TILE_ROWS)
    mask = np.uint32(((1 << n_bits) - 1) * 0x01010101)
    per_vector = 8 // n_bits
    for vector in range(n_bits):
        packed = np.uint32(0)
        for i in range(per_vector):
            word = words[vector + 4 * i] if n_bits == 4 else words[vector * per_vector + i]
            packed |= ((word >> np.uint32(lowest)) & mask) << np.uint32(i * n_bits)
        out[vector * TILE_ROWS] = packed


@device
def _pack_levels(row: int, n: int, n_bits: int, lane: int, out: int, block_columns: int, block_bytes: int) -> None:
    """All levels of one row of a tile."""
    low_bits = 8 if n_bits == 8 else (4 if n_bits >= 4 else 2)
    for column in range(0, n, 32):
        part = out + column // block_columns * block_bytes + column % block_columns * 2 * n_bits + lane * 4
        _pack_plane(row + column, low_bits, 0, part)
        if n_bits > low_bits:
            _pack_plane(row + column, n_bits - low_bits, low_bits, part + low_bits * 64)


@device
def _pack_groups(scales: int, minimums: int, n: int, lane: int, out: int, has_minimum: bool, shared: bool) -> None:
    """The integer scales and minimums of one row in one block."""
    scale, minimum = u8(scales, n), u8(minimums, n)
    target = u8(out, 2 * n * TILE_ROWS)
    for group in range(n):
        place = group // 2 * 2 * TILE_ROWS + 2 * lane + group % 2
        if shared:
            target[place] = scale[group] | (minimum[group] << 4)
        else:
            target[place] = scale[group]
            if has_minimum:
                target[n * TILE_ROWS + place] = minimum[group]


@kernel
def pack_tile(arguments: int, chunk: int, worker: int) -> None:
    """Make one tile.

    Arguments: 0 blocks, 1 bytes of a row of blocks, 2 n_rows, 3 n_columns, 4 the format's `decode`, 5 its block_size,
    6 its block_bytes, 7 tiles, zeros, 8 bytes of a tile, 9 bits of a level, 10 offset, 11 address of 256 codes by
    level + 128 or 0, 12 `split` or 0, 13 group_size, 14 place of the scale in a block, 15 place of the minimum or -1,
    16 what the minimum is combined with (xor), 17 shared bytes, 18 columns of a tile's block, 19 scratch of all
    workers, 20 bytes of one worker's.
    """
    a = i64(arguments, N_ARGUMENTS)
    n_columns, n_bits, group_size, block_columns = a[3], a[9], a[13], a[18]
    n_groups, level_bytes = n_columns // group_size, block_columns * n_bits * 2
    n_blocks, per_block = n_columns // block_columns, block_columns // group_size
    block_bytes = a[8] // n_blocks
    levels = a[19] + worker * a[20]
    scales, minimums = levels + n_columns, levels + n_columns + 4 * n_groups
    small_scales = minimums + 4 * n_groups
    small_minimums = small_scales + n_groups
    tile = a[7] + chunk * a[8]
    for lane in range(min(TILE_ROWS, a[2] - chunk * TILE_ROWS)):
        source = a[0] + (chunk * TILE_ROWS + lane) * a[1]
        call_decode(a[4], source, n_columns // a[5], levels, scales, minimums)
        codes = u8(levels, n_columns)
        if a[11]:
            by_level = u8(a[11], 256)
            for i in range(n_columns):
                codes[i] = by_level[codes[i] ^ 128]
        else:
            for i in range(n_columns):
                codes[i] += a[10]
        _pack_levels(levels, n_columns, n_bits, lane, tile, block_columns, block_bytes)
        if a[12]:
            call_split(a[12], source, n_blocks, small_scales, small_minimums)
        for block in range(n_blocks):
            place = tile + block * block_bytes + level_bytes
            if a[12]:
                groups = block * per_block
                shared, has_minimum = a[17] != 0, a[15] >= 0
                _pack_groups(
                    small_scales + groups, small_minimums + groups, per_block, lane, place, has_minimum, shared
                )
                place += per_block * TILE_ROWS * (2 if has_minimum and not shared else 1)
            halves = source + block * a[6]
            u16(place, TILE_ROWS)[lane] = u16(halves + a[14], 1)[0]
            if a[15] >= 0:
                u16(place + 32, TILE_ROWS)[lane] = u16(halves + a[15], 1)[0] ^ np.uint16(a[16])
