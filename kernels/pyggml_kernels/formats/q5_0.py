"""Q5_0: 32 weights as 5-bit levels around 16 and one half-precision scale (5.5 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import store_five_bits
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.quantize_32 import rows_quantizer
from pyggml_kernels.formats.words import bits, less, load_word, spread, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("d", np.float16), ("qh", np.uint8, 4), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q5_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -16..15; the low four bits in bytes as in Q4_0, bit i of qh is the fifth of level i."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        block = u8(start, BLOCK_BYTES)
        scale[index] = load_half(block, 0)
        minimum[index] = 0
        for i in range(2):
            codes = load_word(start + 6 + i * 8)
            store_word(out + i * 8, less(bits(codes, 0, 15) | spread(block[2 + i], 4), 16))
            store_word(out + i * 8 + 16, less(bits(codes, 4, 15) | spread(block[4 + i], 4), 16))


@device
def _write(out: int, scale: Any, minimum: Any, low: Any, high: Any) -> None:
    """One block, of codes for its first 16 weights and for the others."""
    block = u8(out, BLOCK_BYTES)
    store_half(block, 0, scale)
    store_five_bits(out + 2, low, high)


_quantize_rows = rows_quantizer(16, False, BLOCK_BYTES, _write)


@kernel
def quantize_q5_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer`."""
    _quantize_rows(arguments, chunk)


Q5_0 = LevelFormat(
    "Q5_0",
    6,
    LAYOUT,
    32,
    "Q8_0",
    group_size=32,
    has_minimum=False,
    decode=decode_q5_0,
    packing=Packing(TileLayout(5, 32, integer_scales=False, has_minimum=False), 16),
    quantizer=quantize_q5_0,
)
