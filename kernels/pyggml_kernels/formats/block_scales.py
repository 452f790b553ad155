"""The scales of a block's groups as small integers under one scale of the block.

Scalar code on 8 or 16 numbers, each step in ggml's order (`make_qp_quants` and `make_qx_quants` in ggml-quants.c).
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.scale_search import N_ROUNDS, SMALLEST_WEIGHT
from pyggml_kernels.jit import device
from pyggml_kernels.memory import float_to_half
from pyggml_kernels.rounding import nearest

_ZERO, _ONE, _TENTH = np.float32(0), np.float32(1), np.float32(0.1)


@device
def store_half(data: Any, offset: int, x: Any) -> None:
    """Write a float as a half at a byte offset; a NaN as the quiet one without payload, as ggml does."""
    half = float_to_half(x)
    if x != x:
        half = (half & np.uint16(0x8000)) | np.uint16(0x7E00)
    data[offset] = np.uint8(half & np.uint16(0xFF))
    data[offset + 1] = np.uint8(half >> np.uint16(8))


@device
def largest(numbers: Any, n: int) -> Any:
    """The largest of `n` numbers, at least 0."""
    found = _ZERO
    for i in range(n):
        if numbers[i] > found:
            found = numbers[i]
    return found


@device
def first_of_largest_magnitude(numbers: Any, n: int) -> Any:
    """The first number of the largest magnitude, 0 if all are 0."""
    found, of_magnitude = _ZERO, _ZERO
    for i in range(n):
        if abs(numbers[i]) > of_magnitude:
            found, of_magnitude = numbers[i], abs(numbers[i])
    return found


@device
def divide_by_largest(numbers: Any, n: int, top: int, levels: Any) -> Any:
    """Levels that map the largest of the numbers to `top`; returns the scale. All 0 unless one is positive."""
    greatest = largest(numbers, n)
    for i in range(n):
        levels[i] = np.uint8(0)
    if greatest > _ZERO:
        inverse = np.float32(top) / greatest
        for i in range(n):
            levels[i] = np.uint8(nearest(inverse * numbers[i]))
    return greatest / np.float32(top)


@device
def _positive_error(numbers: Any, weights: Any, n: int, top: int, inverse: Any) -> Any:
    """The weighted squared error of numbers rounded to levels up to `top`."""
    scale = _ONE / inverse
    error = _ZERO
    for i in range(n):
        difference = numbers[i] - scale * np.float32(min(top, nearest(inverse * numbers[i])))
        error += weights[i] * difference * difference
    return error


@device
def _unbounded_error(numbers: Any, weights: Any, n: int, inverse: Any) -> Any:
    """As `_positive_error`, for the first levels, which are cut to bytes instead of bounded."""
    scale = _ONE / inverse
    error = _ZERO
    for i in range(n):
        difference = numbers[i] - scale * np.float32(np.uint8(nearest(inverse * numbers[i])))
        error += weights[i] * difference * difference
    return error


@device
def _best_inverse(numbers: Any, weights: Any, n: int, top: int, greatest: Any) -> Any:
    """One over the scale of the least error, of those that map the largest number to `top` + k / 10, k in -4..4."""
    best = np.float32(top) / greatest
    least = _unbounded_error(numbers, weights, n, best)
    for k in range(-4, 5):
        if k != 0:
            inverse = (_TENTH * np.float32(k) + np.float32(top)) / greatest
            error = _positive_error(numbers, weights, n, top, inverse)
            if error < least:
                least, best = error, inverse
    return best


@device
def _improve(numbers: Any, weights: Any, n: int, top: int, levels: Any, sum_lx: Any, sum_l2: Any) -> Any:
    """One round: change each level whose change makes the fit better. The sums after it; whether any was changed."""
    changed = False
    for i in range(n):
        x, weight, level = numbers[i], weights[i], np.float32(levels[i])
        other_lx = sum_lx - weight * x * level
        other_l2 = sum_l2 - weight * level * level
        if other_lx > _ZERO and other_l2 > _ZERO:
            moved = min(top, nearest(x * other_l2 / other_lx))
            if moved != np.int64(levels[i]):
                new_lx = other_lx + weight * x * np.float32(moved)
                new_l2 = other_l2 + weight * np.float32(moved) * np.float32(moved)
                if new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2:
                    levels[i] = np.uint8(moved)
                    sum_lx, sum_l2, changed = new_lx, new_l2, True
    return sum_lx, sum_l2, changed


@device
def search_positive(numbers: Any, weights: Any, n: int, top: int, levels: Any) -> Any:
    """Levels 0..`top` of numbers that are not negative, with the least weighted error; returns the scale."""
    greatest = _ZERO
    for i in range(n):
        # Written so that a NaN takes the place of what was found, as in ggml.
        greatest = greatest if greatest > numbers[i] else numbers[i]
    if greatest < SMALLEST_WEIGHT:
        for i in range(n):
            levels[i] = np.uint8(0)
        return _ZERO
    inverse = _best_inverse(numbers, weights, n, top, greatest)
    sum_lx, sum_l2 = _ZERO, _ZERO
    for i in range(n):
        level = min(top, nearest(inverse * numbers[i]))
        levels[i] = np.uint8(level)
        sum_lx += weights[i] * numbers[i] * np.float32(level)
        sum_l2 += weights[i] * np.float32(level) * np.float32(level)
    for _ in range(N_ROUNDS):
        sum_lx, sum_l2, changed = _improve(numbers, weights, n, top, levels, sum_lx, sum_l2)
        if not changed:
            break
    return sum_lx / sum_l2 if sum_l2 > _ZERO else _ZERO


@device
def _signed_level(x: Any, top: int) -> Any:
    return max(-top, min(top - 1, nearest(x)))


@device
def _products(numbers: Any, weights: Any, n: int, top: int, inverse: Any) -> Any:
    """The sums of weight * number * level and of weight * level * level, for levels -`top`..`top` - 1."""
    sum_lx, sum_l2 = _ZERO, _ZERO
    for i in range(n):
        level = np.float32(_signed_level(inverse * numbers[i], top))
        sum_lx += weights[i] * numbers[i] * level
        sum_l2 += weights[i] * level * level
    return sum_lx, sum_l2


@device
def search_signed(numbers: Any, weights: Any, n: int, top: int, levels: Any) -> Any:
    """Levels 0..2 `top` - 1 (`top` more than what is multiplied) with the least weighted error; returns the scale."""
    extreme = first_of_largest_magnitude(numbers, n)
    if abs(extreme) < SMALLEST_WEIGHT:
        for i in range(n):
            levels[i] = np.uint8(0)
        return _ZERO
    best_inverse = np.float32(-top) / extreme
    sum_lx, sum_l2 = _products(numbers, weights, n, top, best_inverse)
    scale = sum_lx / sum_l2 if sum_l2 != _ZERO else _ZERO
    best = scale * sum_lx
    for k in range(-9, 10):
        if k != 0:
            inverse = -(np.float32(top) + _TENTH * np.float32(k)) / extreme
            sum_lx, sum_l2 = _products(numbers, weights, n, top, inverse)
            if sum_l2 > _ZERO and sum_lx * sum_lx > best * sum_l2:
                scale, best_inverse = sum_lx / sum_l2, inverse
                best = scale * sum_lx
    for i in range(n):
        levels[i] = np.uint8(_signed_level(best_inverse * numbers[i], top) + top)
    return scale
