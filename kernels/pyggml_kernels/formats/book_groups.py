"""What quantizers to code books share besides the search: signs kept apart, what errors count, codes of scales."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_scales import nearest
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@device
def mean_square_twice(x: int) -> Any:
    """Twice the mean square of the 256 weights of a block, added up in their order."""
    numbers = f32(x, 256)
    total = _ZERO
    for i in range(256):
        total += numbers[i] * numbers[i]
    return np.float32(2) * total / np.float32(256)


@device
def weigh_group(x: int, importance: int, n: int, spread: Any, least: Any, weights: int, roots: int) -> None:
    """What errors count, and the roots of that: importance * sqrt(spread + x * x), or without any `least` + x * x."""
    numbers, counts = f32(x, n), f32(importance, n)
    weight, root = f32(weights, n), f32(roots, n)
    for i in range(n):
        square = numbers[i] * numbers[i]
        weight[i] = counts[i] * np.sqrt(spread + square) if importance else least + square
        root[i] = np.sqrt(weight[i])


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
def largest_of(x: int, n: int) -> Any:
    """The largest of `n` floats."""
    numbers = f32(x, n)
    largest = numbers[0]
    for i in range(1, n):
        if numbers[i] > largest:
            largest = numbers[i]
    return largest


@device
def scale_code(scale: Any, inverse: Any) -> Any:
    """The 4-bit code of a scale that means 2 * code + 1."""
    return max(0, min(15, nearest(_HALF * (inverse * scale - _ONE))))
