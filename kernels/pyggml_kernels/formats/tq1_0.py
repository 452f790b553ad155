"""TQ1_0: 256 weights as base-3 digits, five in a byte, and one half-precision scale (1.6875 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import inverse_or_zero, largest_magnitude, load_16
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.lane_codes import held, round_away, round_down
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, store_lanes_as_bytes, zeros
from pyggml_kernels.formats.words import ONES, join, less, load_word, store_word, upper
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("qs", np.uint8, 48), ("qh", np.uint8, 4), ("d", np.float16)])
BLOCK_BYTES = LAYOUT.itemsize

_EVERY_OTHER = np.uint64(0x00FF00FF00FF00FF)
_DIGIT = np.uint64(3 * ONES)


@device
def next_digit(word: Any) -> Any:
    """The highest base-3 digit of each byte, taken as a fraction byte / 256, and what is left of the byte, times 3."""
    even, odd = (word & _EVERY_OTHER) * np.uint64(3), ((word >> np.uint64(8)) & _EVERY_OTHER) * np.uint64(3)
    digits = ((even >> np.uint64(8)) & _EVERY_OTHER) | (odd & ~_EVERY_OTHER)
    rest = (even & _EVERY_OTHER) | ((odd & _EVERY_OTHER) << np.uint64(8))
    return digits & _DIGIT, rest


@kernel
def decode_tq1_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -1..1.

    The first digits of bytes 0-31 are weights 0-31, their second ones weights 32-63, and so on; likewise bytes 32-47,
    from weight 160 on, and the four bytes of qh with four digits each, from weight 240 on.
    """
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 52)
        for group in range(8):
            scale[index * 8 + group] = d
            minimum[index * 8 + group] = 0
        for i in range(0, 48, 8):
            step = 32 if i < 32 else 16
            place = out + i if i < 32 else out + 128 + i
            rest = load_word(start + i)
            for digit in range(5):
                digits, rest = next_digit(rest)
                store_word(place + digit * step, less(digits, 1))
        rest = upper(load_word(start + 44))
        for i in range(240, 256, 8):
            first, rest = next_digit(rest)
            second, rest = next_digit(rest)
            store_word(out + i, less(join(first, second), 1))


_ZERO, _ONE, _THREE = np.float32(0), np.float32(1), np.float32(3)
#: Five digits count up to 3**5 - 1; in a byte stands the next larger of 256ths of that.
_SCALE, _N_NUMBERS = np.float32(256), np.float32(243)


@device
def _pack_digits(x: int, step: int, n_digits: int, inverse: Any, like: Any) -> Any:
    """The bytes, as floats, whose digits are of weights `step` bytes apart; digits that lack are 0."""
    number = zeros(like)
    for digit in range(5):
        number = number * _THREE
        if digit < n_digits:
            level = round_away(held(load_lanes(x + digit * step, like) * inverse, _ZERO))
            number = number + (level + _ONE)
    return round_down((number * _SCALE + (_N_NUMBERS - _ONE)) / _N_NUMBERS)


@device
def _quantize_block(x: int, out: int) -> None:
    """Levels x / d to the nearest, halves away from zero, d = max |x|."""
    d = largest_magnitude(x, 256)
    inverse = inverse_or_zero(d)
    like = zeros(load_16(x))
    store_lanes_as_bytes(out, _pack_digits(x, 128, 5, inverse, like))
    store_lanes_as_bytes(out + 16, _pack_digits(x + 64, 128, 5, inverse, like))
    store_lanes_as_bytes(out + 32, _pack_digits(x + 640, 64, 5, inverse, like))
    store_lanes_as_bytes(out + 48, _pack_digits(x + 960, 16, 4, inverse, lanes_of(4, _ZERO)))
    store_half(u8(out, BLOCK_BYTES), 52, d)


_quantize_blocks = blocks_quantizer(256, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_tq1_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


TQ1_0 = LevelFormat(
    "TQ1_0", 34, LAYOUT, 256, "Q8_K", group_size=32, has_minimum=False, decode=decode_tq1_0, quantizer=quantize_tq1_0
)
