"""IQ4_XS: 256 weights in 8 groups of 32, levels as in IQ4_NL; 6-bit scales under a half (4.25 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.four_bit_table import TILE_TABLE, TILE_TABLE_OFFSET, look_up
from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.formats.quantize_table import quantize_block
from pyggml_kernels.formats.words import bits, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i8, i64, load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("d", np.float16), ("scales_h", np.uint16), ("scales_l", np.uint8, 4), ("qs", np.uint8, 128)])
BLOCK_BYTES = LAYOUT.itemsize


@device
def group_scale(block: Any, group: int) -> Any:
    """The scale of a group, -32..31: low 4 bits from a half of a byte of scales_l, high 2 bits from scales_h."""
    low = (block[4 + group // 2] >> (group % 2 * 4)) & 15
    high = (block[2 + group // 4] >> (group % 4 * 2)) & 3
    return np.int32(low | (high << 4)) - np.int32(32)


@kernel
def decode_iq4_xs(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels of the table; each group of 32 packs its indices as IQ4_NL does."""
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block = u8(start, BLOCK_BYTES)
        d = load_half(block, 0)
        for group in range(8):
            scale[index * 8 + group] = d * np.float32(group_scale(block, group))
            minimum[index * 8 + group] = 0
            for i in range(0, 16, 8):
                codes = load_word(start + 8 + group * 16 + i)
                store_word(out + group * 32 + i, look_up(bits(codes, 0, 15)))
                store_word(out + group * 32 + 16 + i, look_up(bits(codes, 4, 15)))


@kernel
def quantize_iq4_xs(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer`."""
    a = i64(arguments, N_ARGUMENTS)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        for block in range(a[2] // 256):
            x = a[0] + (row * a[2] + block * 256) * 4
            importance = a[5] + block * 1024 if a[5] else 0
            quantize_block(x, importance, a[3] + row * a[4] + block * BLOCK_BYTES)


@kernel
def split_iq4_xs(source: int, n_blocks: int, scales: int, minimums: int) -> None:
    """The 6-bit scales: see `Packing.split`."""
    out = i8(scales, n_blocks * 8)
    for index in range(n_blocks):
        block = u8(source + index * BLOCK_BYTES, BLOCK_BYTES)
        for group in range(8):
            out[index * 8 + group] = group_scale(block, group)


IQ4_XS = LevelFormat(
    "IQ4_XS",
    23,
    LAYOUT,
    256,
    "Q8_K",
    group_size=32,
    has_minimum=False,
    decode=decode_iq4_xs,
    packing=Packing(
        TileLayout(4, 32, integer_scales=True, has_minimum=False, table=TILE_TABLE), TILE_TABLE_OFFSET, split_iq4_xs
    ),
    quantizer=quantize_iq4_xs,
)
