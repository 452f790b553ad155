"""Groups of 32 weights laid side by side with what their errors count, as `scale_search` reads them.

Eight groups of a row are searched at once, one a lane. Where a row has fewer left, the lanes that are over hold zeros.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.lanes import lanes_of, load_lanes, square_root, store_lanes
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32

#: Groups that are searched at once, and the weights in one.
N_GROUPS, GROUP_SIZE = 8, 32
#: Weights that are searched at once, and bytes of them.
N_WEIGHTS, N_BYTES = 256, 1024


@device
def eight_zeros() -> Any:
    """A lane for each group."""
    return lanes_of(8, np.float32(0))


@device
def sum_of_squares(address: int, n: int) -> Any:
    """The sum of the squares of `n` floats, added up in their order."""
    x = f32(address, n)
    total = np.float32(0)
    for i in range(n):
        total += x[i] * x[i]
    return total


@device
def lay_side_by_side(address: int, n_groups: int, out: int) -> None:
    """Write floats (n_groups, 32) as (32, 8), with zeros for groups that lack."""
    x, beside = f32(address, n_groups * GROUP_SIZE), f32(out, N_WEIGHTS)
    for group in range(N_GROUPS):
        for i in range(GROUP_SIZE):
            beside[i * N_GROUPS + group] = x[group * GROUP_SIZE + i] if group < n_groups else np.float32(0)


@device
def weigh(x: int, importance: int, spread: Any) -> None:
    """Turn importance into what errors count, times sqrt(spread + x * x): (32, 8), `spread` a lane for each group."""
    for offset in range(0, N_BYTES, 4 * N_GROUPS):
        each = load_lanes(x + offset, spread)
        store_lanes(importance + offset, load_lanes(importance + offset, spread) * square_root(spread + each * each))
