"""The search for the scales of groups whose levels are those of `four_bit_table`, and the codes for given scales.

Groups lie side by side in lanes, as in `scale_search`. The order of every float operation is ggml's
(`quantize_row_iq4_nl_impl` of ggml-quants.c).
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.four_bit_table import LEVELS
from pyggml_kernels.formats.importance import N_BYTES, N_GROUPS
from pyggml_kernels.formats.lanes import load_lanes, magnitude, select, store_lanes, zeros
from pyggml_kernels.formats.scale_search import SMALLEST_WEIGHT
from pyggml_kernels.jit import device

_ZERO, _ONE, _LOWEST = np.float32(0), np.float32(1), np.float32(LEVELS[0])
#: Trials map the largest weight to the lowest level and up to 7 more or less.
_N_TRIALS = 7
_STRIDE = 4 * N_GROUPS
_FLOATS = LEVELS.astype(np.float32)
# Halfway between neighbours: a number there takes the upper level. Differences of such numbers are exact.
_BOUNDS = (_FLOATS[1:] + _FLOATS[:-1]) / np.float32(2)


@device
def _level(x: Any) -> Any:
    """The level nearest to x; the highest for NaN."""
    level = zeros(x) + _FLOATS[0]
    for i in range(15):
        level = select(x < _BOUNDS[i], level, _FLOATS[i + 1])
    return level


@device
def _code(x: Any) -> Any:
    """The code of the nearest level, as a float."""
    code = zeros(x)
    for i in range(15):
        code = select(x < _BOUNDS[i], code, np.float32(i + 1))
    return code


@device
def _products(x: int, weights: int, inverse: Any) -> Any:
    """The sums of weight * level * x and of weight * level * level."""
    sum_lx, sum_l2 = zeros(inverse), zeros(inverse)
    for offset in range(0, N_BYTES, _STRIDE):
        each, weight = load_lanes(x + offset, inverse), load_lanes(weights + offset, inverse)
        level = _level(inverse * each)
        weighted = weight * level
        sum_lx = sum_lx + weighted * each
        sum_l2 = sum_l2 + weighted * level
    return sum_lx, sum_l2


@device
def search_table_scale(x: int, weights: int, like: Any) -> Any:
    """The scale of each group; 0 for a group of zeros."""
    largest, of_magnitude = zeros(like), zeros(like)
    for offset in range(0, N_BYTES, _STRIDE):
        each = load_lanes(x + offset, like)
        larger = magnitude(each) > of_magnitude
        largest = select(larger, each, largest)
        of_magnitude = select(larger, magnitude(each), of_magnitude)
    sum_lx, sum_l2 = _products(x, weights, _ONE / (largest / -_LOWEST))
    scale = select(sum_l2 > _ZERO, sum_lx / sum_l2, _ZERO)
    best = scale * sum_lx
    for trial in range(-_N_TRIALS, _N_TRIALS + 1):
        sum_lx, sum_l2 = _products(x, weights, (np.float32(trial) + _LOWEST) / largest)
        better = (sum_l2 > _ZERO) & (sum_lx * sum_lx > best * sum_l2)
        scale = select(better, sum_lx / sum_l2, scale)
        best = select(better, scale * sum_lx, best)
    return select(of_magnitude < SMALLEST_WEIGHT, _ZERO, scale)


@device
def store_table_codes(x: int, scale: Any, out: int) -> None:
    """Write the codes of all groups, as floats side by side, for their scales."""
    inverse = select(scale != _ZERO, _ONE / scale, _ZERO)
    for offset in range(0, N_BYTES, _STRIDE):
        store_lanes(out + offset, _code(inverse * load_lanes(x + offset, scale)))
