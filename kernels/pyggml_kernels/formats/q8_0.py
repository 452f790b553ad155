"""Q8_0: 32 weights as signed bytes and one half-precision scale (8.5 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.block_levels import inverse_or_zero, largest_magnitude, load_16
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.lane_codes import held, round_away
from pyggml_kernels.formats.lanes import store_lanes_as_bytes
from pyggml_kernels.formats.words import load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("d", np.float16), ("qs", np.int8, 32)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q8_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A block is a group: level q, scale d."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        scale[index] = load_half(u8(start, BLOCK_BYTES), 0)
        minimum[index] = 0
        for i in range(0, 32, 8):
            store_word(out + i, load_word(start + 2 + i))


_LARGEST_LEVEL = np.float32(127)


@device
def _quantize_block(x: int, out: int) -> None:
    """Levels x / d to the nearest, halves away from zero, d = max |x| / 127. Activations are rounded otherwise."""
    d = largest_magnitude(x, 32) / _LARGEST_LEVEL
    inverse = inverse_or_zero(d)
    store_half(u8(out, 2), 0, d)
    for half in range(2):
        levels = round_away(held(load_16(x + half * 64) * inverse, np.float32(0)))
        store_lanes_as_bytes(out + 2 + half * 16, levels)


_quantize_blocks = blocks_quantizer(32, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_q8_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


Q8_0 = LevelFormat(
    "Q8_0",
    8,
    LAYOUT,
    32,
    "Q8_0",
    group_size=32,
    has_minimum=False,
    decode=decode_q8_0,
    packing=Packing(TileLayout(8, 32, integer_scales=False, has_minimum=False), 128),
    quantizer=quantize_q8_0,
)
