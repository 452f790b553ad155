"""Q2_0: 64 weights as 2-bit levels around 1 and one half-precision scale (2.25 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import inverse_or_zero, largest_magnitude, load_16
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.lane_codes import held, round_away
from pyggml_kernels.formats.lanes import stack_memory, store_lanes_as_bytes
from pyggml_kernels.formats.words import less, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8, u32

LAYOUT = np.dtype([("d", np.float16), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize

_LOWEST = np.uint64(0xFFFF)
_BYTES, _HALVES, _PAIRS = np.uint64(0x000000FF000000FF), np.uint64(0x000F000F000F000F), np.uint64(0x0303030303030303)


@device
def spread_pairs(codes: Any) -> Any:
    """The lowest eight pairs of bits, one in each byte, lowest first."""
    word = codes & _LOWEST
    word = (word | (word << np.uint64(24))) & _BYTES
    word = (word | (word << np.uint64(12))) & _HALVES
    return (word | (word << np.uint64(6))) & _PAIRS


@kernel
def decode_q2_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -1..2, four in a byte, the lowest bits first."""
    scale, minimum = f32(scales, n_blocks * 2), f32(minimums, n_blocks * 2)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 64
        d = load_half(u8(start, BLOCK_BYTES), 0)
        for group in range(2):
            scale[index * 2 + group] = d
            minimum[index * 2 + group] = 0
        for half in range(2):
            codes = load_word(start + 2 + half * 8)
            for quarter in range(4):
                store_word(out + half * 32 + quarter * 8, less(spread_pairs(codes), 1))
                codes >>= np.uint64(16)


_ZERO, _ONE, _THREE = np.float32(0), np.float32(1), np.float32(3)


@device
def _quantize_block(x: int, out: int) -> None:
    """Levels x / d to the nearest, halves away from zero, d = max |x|; so there is none above 1.

    Where x / d is not finite the code is 0.
    """
    d = largest_magnitude(x, 64)
    inverse = inverse_or_zero(d)
    codes = stack_memory(64)
    for i in range(0, 64, 16):
        store_lanes_as_bytes(codes + i, round_away(held(load_16(x + i * 4) * inverse, -_ONE)) + _ONE)
    four, block = u32(codes, 16), u8(out, BLOCK_BYTES)
    store_half(block, 0, d)
    for i in range(16):
        word = np.uint64(four[i])
        joined = word | (word >> np.uint64(6)) | (word >> np.uint64(12)) | (word >> np.uint64(18))
        block[2 + i] = joined & np.uint64(0xFF)


_quantize_blocks = blocks_quantizer(64, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_q2_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


Q2_0 = LevelFormat(
    "Q2_0", 42, LAYOUT, 64, "Q8_0", group_size=32, has_minimum=False, decode=decode_q2_0, quantizer=quantize_q2_0
)
