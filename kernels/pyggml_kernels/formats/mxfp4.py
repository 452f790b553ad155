"""MXFP4: 32 weights as 4-bit floats and one power of two (4.25 bits a weight).

OCP Microscaling Formats (MX) Specification 1.0, sections 5.2 and 5.4.1.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import largest_magnitude, load_16, store_four_bits
from pyggml_kernels.formats.e2m1 import doubled
from pyggml_kernels.formats.e2m1_codes import nearest_codes
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.words import bits, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import bits_float, f32, float_bits, u8

LAYOUT = np.dtype([("e", np.uint8), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@device
def half_power_of_two(e: Any) -> Any:
    """2 ** (e - 128), half of what the byte means in E8M0; its NaN, 255, is 2 ** 127, as in ggml."""
    # The two smallest are subnormal floats.
    return bits_float(np.uint32(0x00200000 << e) if e < 2 else np.uint32((e - 1) << 23))


@kernel
def decode_mxfp4(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -12..12; the low halves of the bytes hold the first 16, the high halves the others."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        scale[index] = half_power_of_two(np.int64(u8(start, 1)[0]))
        minimum[index] = 0
        for i in range(0, 16, 8):
            codes = load_word(start + 1 + i)
            store_word(out + i, doubled(bits(codes, 0, 15)))
            store_word(out + 16 + i, doubled(bits(codes, 4, 15)))


_SMALLEST_NORMAL, _LIFT, _LIFT_EXPONENT = np.float32(2.0**-126), np.float32(2.0**24), 24
_LOG2_E = 1.4426950408889634
#: How far below a power of two, in its terms, rounding of the logarithm is looked at.
_NEAR = 2.0**-12


@device
def _floor_of_rounded_log2(x: Any) -> Any:
    """floor(log2(x)) of a positive float where log2(x) is rounded to a float first.

    That is one more for numbers just below a power of two.
    """
    lifted = x < _SMALLEST_NORMAL
    word = np.int64(float_bits(x * _LIFT if lifted else x))
    exponent = (word >> 23) - 127 - (_LIFT_EXPONENT if lifted else 0)
    # x is 2 ** (exponent + 1) * (1 - below); the series of the logarithm is exact enough where rounding can matter.
    below = (0x800000 - (word & 0x7FFFFF)) * 2.0**-24
    log2 = np.float32(exponent + 1 - (below + below * below / 2) * _LOG2_E)
    return exponent + 1 if below < _NEAR and log2 >= np.float32(exponent + 1) else exponent


@device
def _quantize_block(x: int, out: int) -> None:
    """The largest weight is 4 to 8 times the scale; of its exponent the low byte is kept, as in ggml."""
    largest = largest_magnitude(x, 32)
    e = (_floor_of_rounded_log2(largest) - 2 + 127) & 0xFF if largest > np.float32(0) else 0
    u8(out, 1)[0] = e
    half_scale = half_power_of_two(e)
    store_four_bits(out + 1, nearest_codes(load_16(x), half_scale), nearest_codes(load_16(x + 64), half_scale))


_quantize_blocks = blocks_quantizer(32, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_mxfp4(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


MXFP4 = LevelFormat(
    "MXFP4", 39, LAYOUT, 32, "Q8_0", group_size=32, has_minimum=False, decode=decode_mxfp4, quantizer=quantize_mxfp4
)
