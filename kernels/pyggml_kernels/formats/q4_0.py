"""Q4_0: 32 weights as 4-bit levels around 8 and one half-precision scale (4.5 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import store_four_bits
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.quantize_32 import rows_quantizer
from pyggml_kernels.formats.words import bits, less, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("d", np.float16), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q4_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -8..7; the low halves of the bytes hold the first 16, the high halves the others."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        scale[index] = load_half(u8(start, BLOCK_BYTES), 0)
        minimum[index] = 0
        for i in range(0, 16, 8):
            codes = load_word(start + 2 + i)
            store_word(out + i, less(bits(codes, 0, 15), 8))
            store_word(out + 16 + i, less(bits(codes, 4, 15), 8))


@device
def _write(out: int, scale: Any, minimum: Any, low: Any, high: Any) -> None:
    """One block, of codes for its first 16 weights and for the others."""
    block = u8(out, BLOCK_BYTES)
    store_half(block, 0, scale)
    store_four_bits(out + 2, low, high)


_quantize_rows = rows_quantizer(8, False, BLOCK_BYTES, _write)


@kernel
def quantize_q4_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer`."""
    _quantize_rows(arguments, chunk)


Q4_0 = LevelFormat(
    "Q4_0",
    2,
    LAYOUT,
    32,
    "Q8_0",
    group_size=32,
    has_minimum=False,
    decode=decode_q4_0,
    packing=Packing(TileLayout(4, 32, integer_scales=False, has_minimum=False), 8),
    quantizer=quantize_q4_0,
)
