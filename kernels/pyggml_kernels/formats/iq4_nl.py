"""IQ4_NL: 32 weights as 4-bit indices of uneven levels and one half-precision scale (4.5 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.four_bit_table import TILE_TABLE, TILE_TABLE_OFFSET, look_up
from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.formats.quantize_table import quantize_groups
from pyggml_kernels.formats.words import bits, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, i64, load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("d", np.float16), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq4_nl(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels of the table; the low halves of the bytes index the first 16, the high halves the others."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        scale[index] = load_half(u8(start, BLOCK_BYTES), 0)
        minimum[index] = 0
        for i in range(0, 16, 8):
            codes = load_word(start + 2 + i)
            store_word(out + i, look_up(bits(codes, 0, 15)))
            store_word(out + 16 + i, look_up(bits(codes, 4, 15)))


@kernel
def quantize_iq4_nl(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks, up to eight at once: see `Format._quantizer`."""
    a = i64(arguments, N_ARGUMENTS)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        for first in range(0, a[2], 256):
            x, out = a[0] + (row * a[2] + first) * 4, a[3] + row * a[4] + first // 32 * BLOCK_BYTES
            importance = a[5] + first * 4 if a[5] else 0
            quantize_groups(x, min(8, (a[2] - first) // 32), importance, out, BLOCK_BYTES)


IQ4_NL = LevelFormat(
    "IQ4_NL",
    20,
    LAYOUT,
    32,
    "Q8_0",
    group_size=32,
    has_minimum=False,
    decode=decode_iq4_nl,
    packing=Packing(TileLayout(4, 32, integer_scales=False, has_minimum=False, table=TILE_TABLE), TILE_TABLE_OFFSET),
    quantizer=quantize_iq4_nl,
)
