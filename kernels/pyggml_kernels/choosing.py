"""How a token is chosen: which are the most likely, how many of them count, and the draw.

The results are those of llama.cpp with glibc's `expf`, to the last bit. All of it takes microseconds, which in Python
would be a multiple.
"""

from typing import Any

import numpy as np

from pyggml_kernels.exp2_table import EXP2_POLYNOMIAL, ROOTS_BITS, THIRTY_TWO_OVER_LN2
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import bits_double, f32, f64, i64

_CUBIC, _SQUARE, _LINEAR = EXP2_POLYNOMIAL[0] / 32**3, EXP2_POLYNOMIAL[1] / 32**2, EXP2_POLYNOMIAL[2] / 32
#: A double that is added to it is rounded to an integer.
_TO_INTEGER = 1.5 * 2.0**52
_INFINITY = np.float32(np.inf)
#: Keys that are looked at together for one that is large enough.
_BLOCK = 64


@device
def _expf(x: Any) -> Any:
    """e^x of a float, as glibc's `expf` has it: in double, rounded once."""
    # Beyond these ends the exponent would leave its field. NaN stays NaN.
    if not -104.0 < x < 89.0:
        return np.float32(0) if x < 0 else x * _INFINITY
    scaled = np.float64(x) * THIRTY_TWO_OVER_LN2
    nearest = (scaled + _TO_INTEGER) - _TO_INTEGER
    index = np.int64(nearest)
    scale = bits_double(ROOTS_BITS[index & 31] + ((index >> 5) << 52))
    remainder = scaled - nearest
    cubic = _CUBIC * remainder + _SQUARE
    return np.float32((cubic * (remainder * remainder) + (_LINEAR * remainder + 1.0)) * scale)


@device
def _sift(keys: Any, heap: Any, hole: int, length: int, position: int) -> None:
    """Fill a hole of a heap: the smaller child moves up until there is none, then the new one moves up from there."""
    top, child = hole, 2 * hole + 2
    while child <= length:
        if child == length or keys[heap[child]] > keys[heap[child - 1]]:
            child -= 1
        heap[hole] = heap[child]
        hole, child = child, 2 * child + 2
    while hole > top and keys[heap[(hole - 1) // 2]] > keys[position]:
        heap[hole] = heap[(hole - 1) // 2]
        hole = (hole - 1) // 2
    heap[hole] = position


@kernel
def largest(keys: int, n: int, n_kept: int, positions: int) -> None:
    """Positions i64 (n_kept,) of the largest of keys f32 (n,), in descending order, ties as `std::partial_sort` does.

    The first keys make a heap with the smallest on top; larger ones that follow push that out. 1 <= n_kept <= n.
    """
    x, heap = f32(keys, n), i64(positions, n_kept)
    for i in range(n_kept):
        heap[i] = i
    for parent in range(n_kept // 2 - 1, -1, -1):
        _sift(x, heap, parent, n_kept, heap[parent])
    for start in range(n_kept, n, _BLOCK):
        end = min(start + _BLOCK, n)
        smallest, n_larger = x[heap[0]], np.int32(0)
        for key in f32(keys + start * 4, end - start):
            n_larger += np.int32(key > smallest)
        if n_larger:
            for i in range(start, end):
                if x[i] > x[heap[0]]:
                    _sift(x, heap, 0, n_kept, i)
    for last in range(n_kept - 1, 0, -1):
        position = heap[last]
        heap[last] = heap[0]
        _sift(x, heap, 0, last, position)


@kernel
def count_nucleus(logits: int, n: int, p: int, min_keep: int, length: int) -> None:
    """How many of logits f32 (n,), sorted from the largest down, it takes for their probabilities to reach `p`.

    `p` is a f32 (1,), `length` an i64 (1,). It is n if they never do, and at least `min_keep`. Probabilities and their
    sums are floats.
    """
    x = f32(logits, n)
    total = np.float32(0)
    for i in range(n):
        total += _expf(x[i] - x[0])
    reached = np.float32(0)
    bound, count = f32(p, 1)[0], 0
    while count < n:
        reached += _expf(x[count] - x[0]) / total
        count += 1
        if reached >= bound and count >= min_keep:
            break
    i64(length, 1)[0] = count


@kernel
def draw(logits: int, n: int, highest: int, uniform: int, probabilities: int, position: int) -> None:
    """Walk along logits f32 (n,) until the share of their weights reaches a number below 1, or the last of them.

    `highest` is the position of the largest logit, `uniform` a f64 (1,); `position` i64 (1,) is where the walk ends.
    Weights are floats, their sums doubles; probabilities f32 (n,) are the weights over the sum.
    """
    x, weights = f32(logits, n), f32(probabilities, n)
    total = 0.0
    for i in range(n):
        weights[i] = _expf(x[i] - x[highest])
        total += weights[i]
    bound = total * f64(uniform, 1)[0]
    walked, chosen = 0.0, n - 1
    for i in range(n):
        walked += weights[i]
        if walked >= bound:
            chosen = i
            break
    for i in range(n):
        weights[i] = np.float32(weights[i] / total)
    i64(position, 1)[0] = chosen
