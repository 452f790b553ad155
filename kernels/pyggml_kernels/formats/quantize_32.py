"""Quantization to the formats of 32 weights with 4 or 5 bits each: Q4_0, Q4_1, Q5_0 and Q5_1.

Without importance the extremes of a block give its scale, with it a search does. Every float operation is in ggml's
order (`quantize_row_*_ref` and `quantize_row_*_impl` of ggml-quants.c). A format brings what stores a
block, `write(out, scale, minimum, low, high)`: 16 codes for its first weights, 16 for the others; the minimum is added.
Code is made for each `write`, because Numba cannot cache functions that get functions as arguments.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import first_largest, inverse_or_zero, load_16, lowest_and_highest
from pyggml_kernels.formats.importance import (
    GROUP_SIZE,
    N_GROUPS,
    N_WEIGHTS,
    eight_zeros,
    lay_side_by_side,
    sum_of_squares,
    weigh,
)
from pyggml_kernels.formats.lane_codes import held, round_down
from pyggml_kernels.formats.lanes import select, stack_memory, store_lanes
from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.formats.scale_search import search_by_importance, search_scale
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, i64
from pyggml_kernels.simd.rows import opposite

_ZERO, _HALF = np.float32(0), np.float32(0.5)
#: Trials of the search for scale and minimum: 37, that map the range of a block to 0.9 less to 0.9 more levels.
_FIRST_TRIAL, _TRIAL_STEP, _N_TRIAL_STEPS = np.float32(-0.9), np.float32(0.05), 36


@device
def _codes(x: Any, top: Any) -> Any:
    """Numbers from 0 up rounded down to integers, none more than `top`."""
    code = round_down(held(x, _ZERO))
    return select(code > top, top, code)


def _plain_with(write: Any) -> Any:
    """Quantization of one block without importance."""

    @device
    def symmetric(x: int, out: int, top: int) -> None:
        """The largest weight becomes -`top`."""
        scale = first_largest(x, 32) / np.float32(-top)
        inverse = inverse_or_zero(scale)
        middle, highest = np.float32(top) + _HALF, np.float32(2 * top - 1)
        low = _codes(load_16(x) * inverse + middle, highest)
        high = _codes(load_16(x + 64) * inverse + middle, highest)
        write(out, scale, _ZERO, low, high)

    @device
    def from_minimum(x: int, out: int, top: int) -> None:
        """The least weight becomes 0, the largest `top`."""
        least, most = lowest_and_highest(x, 32)
        scale = (most - least) / np.float32(top)
        inverse = inverse_or_zero(scale)
        low = _codes((load_16(x) - least) * inverse + _HALF, np.float32(top))
        high = _codes((load_16(x + 64) - least) * inverse + _HALF, np.float32(top))
        write(out, scale, least, low, high)

    return symmetric, from_minimum


def _writer_with(write: Any) -> Any:
    """Storing of the blocks of groups that were searched side by side."""

    @device
    def write_groups(levels: int, scales: int, minimums: int, n_groups: int, out: int, block_bytes: int) -> None:
        scale, minimum, level = f32(scales, N_GROUPS), f32(minimums, N_GROUPS), f32(levels, N_WEIGHTS)
        address = stack_memory(128)
        codes = f32(address, GROUP_SIZE)
        for group in range(n_groups):
            for i in range(GROUP_SIZE):
                codes[i] = level[i * N_GROUPS + group]
            low, high = load_16(address), load_16(address + 64)
            write(out + group * block_bytes, scale[group], minimum[group], low, high)

    return write_groups


def _search_with(write: Any, has_minimum: bool) -> Any:
    """Quantization of a row with importance."""
    write_groups = _writer_with(write)

    @device
    def search_row(x: int, n_columns: int, importance: int, out: int, block_bytes: int, top: int) -> None:
        """The row's mean square says how much small weights count."""
        beside, counts, levels, trial = stack_memory(1024), stack_memory(1024), stack_memory(1024), stack_memory(1024)
        scales, minimums = stack_memory(32), stack_memory(32)
        like = eight_zeros()
        store_lanes(minimums, like)
        spread = like + sum_of_squares(x, n_columns) / np.float32(n_columns)
        for first in range(0, n_columns, N_WEIGHTS):
            n_groups = min(N_GROUPS, (n_columns - first) // GROUP_SIZE)
            lay_side_by_side(importance + first * 4, n_groups, counts)
            lay_side_by_side(x + first * 4, n_groups, beside)
            weigh(beside, counts, spread)
            if has_minimum:
                scale, minimum = search_by_importance(
                    *(beside, counts, levels, trial, GROUP_SIZE, like),
                    *(np.float32(top), _FIRST_TRIAL, _TRIAL_STEP, _N_TRIAL_STEPS),
                )
                store_lanes(minimums, opposite(minimum))
            else:
                scale = search_scale(beside, counts, levels, GROUP_SIZE, like, top)
            store_lanes(scales, scale)
            target = out + first // GROUP_SIZE * block_bytes
            write_groups(levels, scales, minimums, n_groups, target, block_bytes)

    return search_row


def rows_quantizer(top: int, has_minimum: bool, block_bytes: int, write: Any) -> Any:
    """`(arguments, chunk)`: quantizes a chunk of rows, see `Format._quantizer`.

    Levels are -`top`..`top` - 1 without minimum, 0..`top` with one.
    """
    quantize_block = _plain_with(write)[has_minimum]
    search_row = _search_with(write, has_minimum)

    @device
    def quantize_rows(arguments: int, chunk: int) -> None:
        a = i64(arguments, N_ARGUMENTS)
        for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
            x, out = a[0] + row * a[2] * 4, a[3] + row * a[4]
            if a[5]:
                search_row(x, a[2], a[5], out, block_bytes, top)
            else:
                for block in range(a[2] // 32):
                    quantize_block(x + block * 128, out + block * block_bytes, top)

    return quantize_rows
