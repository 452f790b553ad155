"""The search for the scale, or the scale and minimum, of each group of a block, with the least weighted error.

Groups lie side by side in lanes (`formats.lanes`). Operands are transposed: address `x` holds, for each of the `n`
places in a group, the weights of all groups at that place; the same for what they count (`weights`) and for levels,
which are floats here. The order of every float operation is ggml's (`make_qx_quants`, `make_qkx2_quants`,
`make_qkx3_quants` and `make_q3_quants` in ggml-quants.c): it decides bytes of the result.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.lanes import (
    any_lane,
    load_lanes,
    magnitude,
    nearest_in,
    select,
    store_lanes,
    store_lanes_as_bytes,
    zeros,
)
from pyggml_kernels.jit import device
from pyggml_kernels.rounding import TO_INTEGER
from pyggml_kernels.simd.rows import opposite

#: A group whose weights are all smaller is quantized as zeros.
SMALLEST_WEIGHT = np.float32(1e-15)
_ZERO, _ONE = np.float32(0), np.float32(1)
#: Rounds over a group in which levels are changed one by one.
N_ROUNDS = 5


@device
def nearest_level(x: Any, top: Any) -> Any:
    """The level 0..`top` nearest to x."""
    return nearest_in(x, 0, np.int64(top))


@device
def nearest_level_of_any(x: Any, top: Any) -> Any:
    """As `nearest_level`, with NaN as 0 and all that is too large as `top`."""
    positive = select(x > _ZERO, x, _ZERO)
    return _rounded(select(positive < top, positive, top))


@device
def _rounded(x: Any) -> Any:
    """The nearest integer, ties to even, of numbers below 2**22."""
    return x + TO_INTEGER - TO_INTEGER


@device
def _signed_level(x: Any, top: Any) -> Any:
    """The level -`top`..`top` - 1 nearest to x, a number below 2**22."""
    level = _rounded(x)
    level = select(level < top - _ONE, level, top - _ONE)
    return select(level > -top, level, -top)


@device
def square(x: Any) -> Any:
    """x * x."""
    return x * x


@device
def _range_and_sums(x: int, weights: int, n: int, like: Any) -> Any:
    """The smallest (at most 0) and the largest weight; the sums of what weights count, and of that times the weight."""
    low = load_lanes(x, like)
    high = low
    sum_w = load_lanes(weights, like)
    sum_x = sum_w * low
    stride = 1024 // n
    for offset in range(stride, 1024, stride):
        each, weight = load_lanes(x + offset, like), load_lanes(weights + offset, like)
        low = select(each < low, each, low)
        high = select(each > high, each, high)
        sum_w = sum_w + weight
        sum_x = sum_x + weight * each
    return select(low > _ZERO, zeros(like), low), high, sum_w, sum_x


@device
def _keep(better: Any, trial: int, levels: int, n: int, like: Any) -> None:
    """Copy the levels of groups that have become better."""
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        store_lanes(
            levels + offset, select(better, load_lanes(trial + offset, like), load_lanes(levels + offset, like))
        )


@device
def _least_squares(sum_w: Any, sum_x: Any, sum_l: Any, sum_l2: Any, sum_xl: Any) -> Any:
    """The determinant, which must be positive; the scale and the smallest weight, at most 0, that fit levels best."""
    determinant = sum_w * sum_l2 - sum_l * sum_l
    scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
    low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
    positive = low > _ZERO
    return determinant, select(positive, sum_xl / sum_l2, scale), select(positive, zeros(low), low)


def _fit_with(rounding: Any) -> Any:
    """The fit for one way to round."""

    @device
    def fit(x: int, weights: int, trial: int, n: int, top: Any, inverse: Any, low: Any) -> Any:
        """Store the levels for a trial scale; the weighted sums of levels, of their squares, and of level times x."""
        sum_l, sum_l2, sum_xl = zeros(low), zeros(low), zeros(low)
        stride = 1024 // n
        for offset in range(0, 1024, stride):
            each, weight = load_lanes(x + offset, low), load_lanes(weights + offset, low)
            level = rounding(inverse * (each - low), top)
            store_lanes(trial + offset, level)
            weighted = weight * level
            sum_l = sum_l + weighted
            sum_l2 = sum_l2 + weighted * level
            sum_xl = sum_xl + weighted * each
        return sum_l, sum_l2, sum_xl

    return fit


def _error_with(penalty: Any) -> Any:
    """The errors for one way to count a difference: of the first levels, and of those of a trial."""

    @device
    def first_levels(x: int, weights: int, levels: int, n: int, top: Any, inverse: Any, low: Any, alive: Any) -> Any:
        """Store the levels from minimum to maximum, zeros in groups that are not `alive`; their error."""
        scale = _ONE / inverse
        error = zeros(low)
        stride = 1024 // n
        for offset in range(0, 1024, stride):
            each, weight = load_lanes(x + offset, low), load_lanes(weights + offset, low)
            level = nearest_level(inverse * (each - low), top)
            store_lanes(levels + offset, select(alive, level, _ZERO))
            error = error + weight * penalty(scale * level + low - each)
        return error

    @device
    def error_of(x: int, weights: int, trial: int, n: int, scale: Any, low: Any) -> Any:
        """The weighted error of levels."""
        error = zeros(low)
        stride = 1024 // n
        for offset in range(0, 1024, stride):
            difference = scale * load_lanes(trial + offset, low) + low - load_lanes(x + offset, low)
            error = error + load_lanes(weights + offset, low) * penalty(difference)
        return error

    return first_levels, error_of


def _search_with(rounding: Any, penalty: Any) -> Any:
    """The search for one way to round the levels of trials and one to count differences.

    Closures, because Numba cannot cache code that gets functions as arguments.
    """
    fit = _fit_with(rounding)
    first_levels, error_of = _error_with(penalty)

    @device
    def search(
        x: int,
        weights: int,
        levels: int,
        trial: int,
        n: int,
        like: Any,
        top: Any,
        first: Any,
        step: Any,
        n_steps: int,
    ) -> Any:
        """The scale and the minimum (subtracted, so positive) of each group; its levels, 0..`top`, are stored.

        Trials k in 0..`n_steps` map the range of the group to `top + first + k * step` levels, and fit scale and
        minimum to them by least squares. A trial replaces what was found if its error is less. `trial` is room for
        levels.
        """
        zero = zeros(like)
        low, high, sum_w, sum_x = _range_and_sums(x, weights, n, zero)
        alive = high > low
        inverse = top / (high - low)
        scale = _ONE / inverse
        best = first_levels(x, weights, levels, n, top, inverse, low, alive)
        for k in range(n_steps + 1):
            inverse = (first + step * np.float32(k) + top) / (high - low)
            sum_l, sum_l2, sum_xl = fit(x, weights, trial, n, top, inverse, low)
            determinant, this_scale, this_low = _least_squares(sum_w, sum_x, sum_l, sum_l2, sum_xl)
            error = error_of(x, weights, trial, n, this_scale, this_low)
            better = alive & (determinant > _ZERO) & (error < best)
            if any_lane(better):
                _keep(better, trial, levels, n, zero)
                best = select(better, error, best)
                scale = select(better, this_scale, scale)
                low = select(better, this_low, low)
        return select(alive, scale, _ZERO), opposite(low)

    return search


#: As ggml does without importance; for Q2_K errors count by their magnitude.
search_scale_and_minimum = _search_with(nearest_level, square)
search_by_magnitude = _search_with(nearest_level, magnitude)
#: As ggml does with importance.
search_by_importance = _search_with(nearest_level_of_any, square)


@device
def _largest(x: int, n: int, like: Any) -> Any:
    """The first weight of the largest magnitude, and its magnitude."""
    largest, of_magnitude = zeros(like), zeros(like)
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        each = load_lanes(x + offset, like)
        larger = magnitude(each) > of_magnitude
        largest = select(larger, each, largest)
        of_magnitude = select(larger, magnitude(each), of_magnitude)
    return largest, of_magnitude


@device
def _products(x: int, weights: int, n: int, top: int, inverse: Any) -> Any:
    """The sums of weight * x * level and of weight * level * level, for levels -`top`..`top` - 1."""
    sum_lx, sum_l2 = zeros(inverse), zeros(inverse)
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        each, weight = load_lanes(x + offset, inverse), load_lanes(weights + offset, inverse)
        level = _signed_level(inverse * each, np.float32(top))
        sum_lx = sum_lx + weight * each * level
        sum_l2 = sum_l2 + weight * level * level
    return sum_lx, sum_l2


@device
def search_scale(x: int, weights: int, levels: int, n: int, like: Any, top: int) -> Any:
    """The scale of each group; its levels, 0..2 `top` - 1 (`top` more than what is multiplied), are stored.

    Trials map the largest weight to -(`top` + k / 10), k in -9..9, and fit the scale by least squares. Levels of a
    group of zeros are 0.
    """
    zero = zeros(like)
    largest, of_magnitude = _largest(x, n, zero)
    inverse = np.float32(-top) / largest
    sum_lx, sum_l2 = _products(x, weights, n, top, inverse)
    scale = select(sum_l2 != _ZERO, sum_lx / sum_l2, _ZERO)
    best = scale * sum_lx
    best_inverse = inverse
    for k in range(-9, 10):
        if k != 0:
            inverse = -(np.float32(top) + np.float32(0.1) * np.float32(k)) / largest
            sum_lx, sum_l2 = _products(x, weights, n, top, inverse)
            better = (sum_l2 > _ZERO) & (sum_lx * sum_lx > best * sum_l2)
            scale = select(better, sum_lx / sum_l2, scale)
            best = select(better, scale * sum_lx, best)
            best_inverse = select(better, inverse, best_inverse)
    small = of_magnitude < SMALLEST_WEIGHT
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        level = nearest_in(best_inverse * load_lanes(x + offset, zero), -top, top - 1) + np.float32(top)
        store_lanes(levels + offset, select(small, zero, level))
    return select(small, zero, scale)


@device
def _improve(x: int, levels: int, n: int, top: int, sum_lx: Any, sum_l2: Any) -> Any:
    """One round: change each level whose change makes the fit better. The sums after it; whether any was changed."""
    changed = False
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        each, level = load_lanes(x + offset, sum_lx), load_lanes(levels + offset, sum_lx)
        weight = each * each
        other_lx = sum_lx - weight * each * level
        other_l2 = sum_l2 - weight * level * level
        moved = nearest_in(each * other_l2 / other_lx, -top, top - 1)
        candidate = (other_lx > _ZERO) & (moved != level)
        new_lx = other_lx + weight * each * moved
        new_l2 = other_l2 + weight * moved * moved
        better = candidate & (new_l2 > _ZERO) & (new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2)
        if any_lane(better):
            changed = True
            store_lanes(levels + offset, select(better, moved, level))
            sum_lx = select(better, new_lx, sum_lx)
            sum_l2 = select(better, new_l2, sum_l2)
    return sum_lx, sum_l2, changed


@device
def improve_levels(x: int, levels: int, n: int, like: Any, top: int) -> Any:
    """The scale of each group, for the error weighted by x * x; its levels, 0..2 `top` - 1, are stored.

    Starts with the largest weight as -`top` and then changes single levels, up to `N_ROUNDS` rounds. Levels of a group
    of zeros are 0.
    """
    zero = zeros(like)
    largest, of_magnitude = _largest(x, n, zero)
    inverse = np.float32(-top) / largest
    sum_lx, sum_l2 = zero, zero
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        each = load_lanes(x + offset, zero)
        level = nearest_in(inverse * each, -top, top - 1)
        store_lanes(levels + offset, level)
        sum_lx = sum_lx + each * each * each * level
        sum_l2 = sum_l2 + each * each * level * level
    for _ in range(N_ROUNDS):
        sum_lx, sum_l2, changed = _improve(x, levels, n, top, sum_lx, sum_l2)
        if not changed:
            break
    small = of_magnitude < SMALLEST_WEIGHT
    for offset in range(0, 1024, stride):
        level = load_lanes(levels + offset, zero) + np.float32(top)
        store_lanes(levels + offset, select(small, zero, level))
    scale = select(sum_l2 > _ZERO, sum_lx / sum_l2, _ZERO)
    return select(small, zero, scale)


@device
def final_levels(x: int, levels: int, n: int, scale: Any, minimum: Any, lowest: int, highest: int, out: int) -> None:
    """The levels, as bytes from 0 up, for the scales and minimums that were stored; as found for a scale of 0."""
    stride = 1024 // n
    for place in range(n):
        offset = place * stride
        level = nearest_in((load_lanes(x + offset, scale) + minimum) / scale, lowest, highest) - np.float32(lowest)
        chosen = select(scale != _ZERO, level, load_lanes(levels + offset, scale))
        store_lanes_as_bytes(out + offset // 4, chosen)
