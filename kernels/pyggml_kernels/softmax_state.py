"""The running softmax of attention (arXiv:2205.14135): what is known of a query while keys and values go by.

A state is, as vectors of 16 floats: the sums of values, weighted, in as many vectors as a row of values takes; the sum
of the weights, spread over the lanes; the highest score so far, and what sums and weights were last multiplied by when
it rose, both in every lane.
"""

from typing import Any

import numpy as np

from pyggml_kernels.jit import device
from pyggml_kernels.simd.exponential import exponential
from pyggml_kernels.simd.floats import (
    first_lanes,
    fused,
    in_every_lane,
    larger,
    largest_lane,
    store_some,
    sum_of_lanes,
)
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import store_floats

#: Bytes of a vector.
VECTOR_BYTES = 4 * TILE_ROWS
# Where a state's other vectors lie, behind the sums of values.
_WEIGHT, _HIGHEST, SHRINK = 0, VECTOR_BYTES, 2 * VECTOR_BYTES

_NOTHING = np.float32(-np.inf)
_ZERO = np.float32(0)


@device
def whole_vectors(n: int) -> int:
    """`n` rounded up to a multiple of 16."""
    return (n + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS


@device
def state_bytes(value_size: int) -> int:
    """Bytes of a state."""
    return 4 * whole_vectors(value_size) + 3 * VECTOR_BYTES


@device
def clear(state: int, n_bytes_of_sums: int) -> None:
    """A state that has seen nothing."""
    for offset in range(0, n_bytes_of_sums, VECTOR_BYTES):
        store_floats(state + offset, in_every_lane(_ZERO))
    store_floats(state + n_bytes_of_sums + _WEIGHT, in_every_lane(_ZERO))
    store_floats(state + n_bytes_of_sums + _HIGHEST, in_every_lane(_NOTHING))


@device
def weigh(scores: int, n_keys: int, scale: Any, rest: int) -> None:
    """Turn the products of a query and keys into weights, in place.

    `rest` is where the state's vectors behind the sums begin. The sums are left for the caller to shrink.
    """
    before: Any = load_floats(rest + _HIGHEST)
    highest: Any = before
    for key in range(0, n_keys, TILE_ROWS):
        score = first_lanes(load_floats(scores + key * 4) * scale, n_keys - key, _NOTHING)
        store_floats(scores + key * 4, score)
        highest = larger(highest, score)
    highest = largest_lane(highest)
    shrink: Any = exponential(before - highest)
    weight: Any = load_floats(rest + _WEIGHT) * shrink
    for key in range(0, n_keys, TILE_ROWS):
        each: Any = exponential(load_floats(scores + key * 4) - highest)
        store_floats(scores + key * 4, each)
        weight = weight + each
    store_floats(rest + _WEIGHT, weight)
    store_floats(rest + _HIGHEST, highest)
    store_floats(rest + SHRINK, shrink)


@device
def merge(state: int, other: int, n_bytes_of_sums: int) -> None:
    """Take into a state what another has seen behind it."""
    rest, other_rest = state + n_bytes_of_sums, other + n_bytes_of_sums
    mine: Any = load_floats(rest + _HIGHEST)
    others: Any = load_floats(other_rest + _HIGHEST)
    highest: Any = larger(mine, others)
    factor, other_factor = exponential(mine - highest), exponential(others - highest)
    for offset in range(0, n_bytes_of_sums + VECTOR_BYTES, VECTOR_BYTES):
        scaled: Any = load_floats(state + offset) * factor
        store_floats(state + offset, fused(load_floats(other + offset), other_factor, scaled))
    store_floats(rest + _HIGHEST, highest)


@device
def finish(state: int, n_bytes_of_sums: int, value_size: int, out: int) -> None:
    """Write the weighted mean of the values."""
    weight: Any = sum_of_lanes(load_floats(state + n_bytes_of_sums + _WEIGHT))
    for column in range(0, value_size, TILE_ROWS):
        mean = load_floats(state + column * 4) / weight
        if value_size - column >= TILE_ROWS:
            store_floats(out + column * 4, mean)
        else:
            store_some(out + column * 4, mean, value_size - column)
