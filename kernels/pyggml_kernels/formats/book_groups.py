"""What quantizers to code books share besides the search: signs kept apart, what errors count, codes of scales."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, u8
from pyggml_kernels.rounding import nearest

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
#: What the largest scale of a group is divided by, as the largest 4-bit code means 2 * 15 + 1.
_LARGEST_SCALE = np.float32(31)


@device
def mean_square(x: int, factor: Any) -> Any:
    """`factor` times the mean square of the 256 weights of a block, added up in their order."""
    numbers = f32(x, 256)
    total = _ZERO
    for i in range(256):
        total += numbers[i] * numbers[i]
    return np.float32(factor) * total / np.float32(256)


@device
def weigh(x: int, importance: int, n: int, spread: Any, least: Any, weights: int) -> None:
    """Write what errors count: importance * sqrt(spread + x * x), or without any `least` + x * x."""
    numbers, counts, weight = f32(x, n), f32(importance, n), f32(weights, n)
    for i in range(n):
        square = numbers[i] * numbers[i]
        weight[i] = counts[i] * np.sqrt(spread + square) if importance else least + square


@device
def split_signs(x: int, out: int) -> Any:
    """Write the magnitudes of 8 weights; which of them are negative, the first in the lowest bit. -0 stays."""
    numbers, magnitudes = f32(x, 8), f32(out, 8)
    signs = 0
    for i in range(8):
        negative = numbers[i] < _ZERO
        magnitudes[i] = -numbers[i] if negative else numbers[i]
        signs |= (1 if negative else 0) << i
    return signs


@device
def _split_eight_even(x: int, weights: int, out: int) -> Any:
    """As `split_signs`, but the sign that costs least is turned if the number of minus signs is odd: the low 7 bits."""
    signs = split_signs(x, out)
    numbers, counts = f32(x, 8), f32(weights, 8)
    n_negative, cheapest, least = 0, 0, counts[0] * numbers[0] * numbers[0]
    for i in range(8):
        n_negative += (signs >> i) & 1
        cost = counts[i] * numbers[i] * numbers[i]
        if cost < least:
            cheapest, least = i, cost
    if n_negative % 2:
        turned = f32(out, 8)
        turned[cheapest] = -turned[cheapest]
        signs ^= 1 << cheapest
    return signs & 127


@device
def split_even_signs(x: int, weights: int, n: int, out: int) -> Any:
    """Write the magnitudes of `n` weights, some negative so that each 8 have an even number of signs: 7 bits for each.

    `weights` is how much errors count.
    """
    signs = 0
    for i in range(n // 8):
        signs |= _split_eight_even(x + i * 32, weights + i * 32, out + i * 32) << (7 * i)
    return signs


@device
def largest_of(x: int, n: int) -> Any:
    """The largest of `n` floats."""
    numbers = f32(x, n)
    largest = numbers[0]
    for i in range(1, n):
        if numbers[i] > largest:
            largest = numbers[i]
    return largest


@device
def scale_code(scale: Any, inverse: Any, top: int) -> Any:
    """The code 0..`top` of a scale that means 2 * code + 1."""
    return max(0, min(top, nearest(_HALF * (inverse * scale - _ONE))))


@device
def store_scales(out: int, largest_scale: Any, factor: Any, scales: Any, n: int, place: int) -> None:
    """Write the scale of a block, `factor` times what `n` groups need, and their 4-bit codes from byte `place` on."""
    block = u8(out, place + n // 2)
    d = largest_scale / _LARGEST_SCALE
    store_half(block, 0, d * factor)
    inverse = _ONE / d
    for pair in range(n // 2):
        low, high = scale_code(scales[2 * pair], inverse, 15), scale_code(scales[2 * pair + 1], inverse, 15)
        block[place + pair] = low | (high << 4)


@device
def store_signs_and_scales(
    out: int, largest_scale: Any, factor: Any, signs: Any, scales: Any, place: int, stride: int
) -> None:
    """As `store_scales`, for 8 groups of 32: words of 28 signs and a code, `stride` bytes from each to the next."""
    block = u8(out, place + 7 * stride + 4)
    d = largest_scale / _LARGEST_SCALE
    store_half(block, 0, d * factor)
    for group in range(8):
        word = (signs[group] & 0xFFFFFFF) | scale_code(scales[group], _ONE / d, 15) << 28
        for i in range(4):
            block[place + group * stride + i] = (word >> (8 * i)) & 255
