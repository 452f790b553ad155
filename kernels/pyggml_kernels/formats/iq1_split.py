"""What the quantizers to IQ1_S and IQ1_M share: a group's weights in order, the best of all ways to split it.

A way to split is numbered: the weights below the first bound are -1, those from the second on 1, the others 0.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.lanes import any_lane, select
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, u8

_ZERO = np.float32(0)
#: What any fit is better than.
WORST = np.float32(-np.finfo(np.float32).max)


@device
def sort_group(x: int, n: int, order: int) -> None:
    """Write which of `n` weights comes first, second and so on, from the least; equal ones keep their order.

    ggml calls the C library's `qsort`, which leaves open what equal ones do; glibc keeps their order.
    """
    numbers, places = f32(x, n), u8(order, n)
    for i in range(n):
        place = i
        while place > 0 and numbers[np.int64(places[place - 1])] > numbers[i]:
            places[place] = places[place - 1]
            place -= 1
        places[place] = i


@device
def keep_better(sum_lx: Any, sum_l2: Any, number: int, scale: Any, best: Any, chosen: Any) -> Any:
    """Of each lane the scale, how good it fits, and the number of the way to split: the trial's if that fits better."""
    better = (sum_l2 > _ZERO) & (sum_lx * sum_lx > best * sum_l2)
    if any_lane(better):
        scale = select(better, sum_lx / sum_l2, scale)
        best = select(better, scale * sum_lx, best)
        chosen = select(better, np.float32(number), chosen)
    return scale, best, chosen


@device
def largest_magnitude(x: int, n: int) -> Any:
    """The largest magnitude of `n` weights."""
    numbers = f32(x, n)
    largest = _ZERO
    for i in range(n):
        largest = max(largest, abs(numbers[i]))
    return largest
