"""TQ2_0: 256 weights as 2-bit levels around 1 and one half-precision scale (2.0625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.block_levels import inverse_or_zero, largest_magnitude, load_16
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.lane_codes import held, round_away
from pyggml_kernels.formats.lanes import store_lanes_as_bytes, zeros
from pyggml_kernels.formats.words import bits, less, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("qs", np.uint8, 64), ("d", np.float16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_tq2_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -1..2, packed as in Q2_K; the quantizer makes none above 1."""
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 64)
        for group in range(8):
            scale[index * 8 + group] = d
            minimum[index * 8 + group] = 0
        for half in range(2):
            for i in range(0, 32, 8):
                codes = load_word(start + half * 32 + i)
                for pair in range(4):
                    store_word(out + half * 128 + pair * 32 + i, less(bits(codes, 2 * pair, 3), 1))


_ONE, _FOUR = np.float32(1), np.float32(4)


@device
def _quantize_block(x: int, out: int) -> None:
    """Levels x / d to the nearest, halves away from zero, d = max |x|."""
    d = largest_magnitude(x, 256)
    inverse = inverse_or_zero(d)
    for half in range(2):
        for i in range(0, 32, 16):
            code = zeros(load_16(x))
            for pair in range(3, -1, -1):
                numbers = load_16(x + (half * 128 + pair * 32 + i) * 4)
                code = code * _FOUR + (round_away(held(numbers * inverse, np.float32(0))) + _ONE)
            store_lanes_as_bytes(out + half * 32 + i, code)
    store_half(u8(out, BLOCK_BYTES), 64, d)


_quantize_blocks = blocks_quantizer(256, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_tq2_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


TQ2_0 = LevelFormat(
    "TQ2_0", 35, LAYOUT, 256, "Q8_K", group_size=32, has_minimum=False, decode=decode_tq2_0, quantizer=quantize_tq2_0
)
