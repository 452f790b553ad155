"""Quantization to the formats with levels of a table: IQ4_NL and IQ4_XS. Float operations in ggml's order."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import load_16, store_four_bits
from pyggml_kernels.formats.block_scales import first_of_largest_magnitude, store_half
from pyggml_kernels.formats.importance import (
    GROUP_SIZE,
    N_BYTES,
    N_GROUPS,
    N_WEIGHTS,
    eight_zeros,
    lay_side_by_side,
    sum_of_squares,
    weigh,
)
from pyggml_kernels.formats.lanes import load_lanes, stack_memory, store_lanes
from pyggml_kernels.formats.table_search import search_table_scale, store_table_codes
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, u8
from pyggml_kernels.rounding import nearest

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
#: The scales of an IQ4_XS block are -32..31 times that of the block.
_SCALE_RANGE = 32


@device
def _weigh_by_square(x: int, like: Any, out: int) -> None:
    """What errors count without importance: x * x."""
    for offset in range(0, N_BYTES, 4 * N_GROUPS):
        each = load_lanes(x + offset, like)
        store_lanes(out + offset, each * each)


@device
def find_scales(x: int, n_groups: int, n_together: int, importance: int, beside: int) -> Any:
    """The scales of up to 8 groups, whose weights are stored side by side at `beside`.

    With importance, small weights count by the mean square of each `n_together` groups.
    """
    counts, spreads = stack_memory(1024), stack_memory(32)
    like = eight_zeros()
    lay_side_by_side(x, n_groups, beside)
    if importance:
        spread = f32(spreads, N_GROUPS)
        store_lanes(spreads, like)
        for first in range(0, n_groups, n_together):
            n = n_together * GROUP_SIZE
            total = sum_of_squares(x + first * GROUP_SIZE * 4, n) * (_TWO / np.float32(n))
            for group in range(first, first + n_together):
                spread[group] = total
        lay_side_by_side(importance, n_groups, counts)
        weigh(beside, counts, load_lanes(spreads, like))
    else:
        _weigh_by_square(beside, like, counts)
    return search_table_scale(beside, counts, like)


@device
def _store_group(codes: int, group: int, out: int) -> None:
    """Pack the codes of a group, one of eight that lie side by side, in 16 bytes."""
    address = stack_memory(128)
    code, beside = f32(address, GROUP_SIZE), f32(codes, N_WEIGHTS)
    for i in range(GROUP_SIZE):
        code[i] = beside[i * N_GROUPS + group]
    store_four_bits(out, load_16(address), load_16(address + 64))


@device
def quantize_groups(x: int, n_groups: int, importance: int, out: int, block_bytes: int) -> None:
    """Up to 8 groups, each a block of its own: a half and 16 bytes of codes."""
    beside, codes, scales = stack_memory(1024), stack_memory(1024), stack_memory(32)
    scale = find_scales(x, n_groups, 1, importance, beside)
    store_table_codes(beside, scale, codes)
    store_lanes(scales, scale)
    for group in range(n_groups):
        start = out + group * block_bytes
        store_half(u8(start, 2), 0, f32(scales, N_GROUPS)[group])
        _store_group(codes, group, start + 2)


@device
def quantize_block(x: int, importance: int, out: int) -> None:
    """8 groups that are one block: d as a half, high bits of the scales, their low bits, then the codes."""
    beside, codes, scales = stack_memory(1024), stack_memory(1024), stack_memory(32)
    scale = f32(scales, N_GROUPS)
    store_lanes(scales, find_scales(x, N_GROUPS, N_GROUPS, importance, beside))
    d = -first_of_largest_magnitude(scale, N_GROUPS) / np.float32(_SCALE_RANGE)
    block = u8(out, 8)
    block[2:8] = 0
    store_half(block, 0, d)
    inverse = _ONE / d if d != _ZERO else _ZERO
    for group in range(N_GROUPS):
        level = max(-_SCALE_RANGE, min(_SCALE_RANGE - 1, nearest(inverse * scale[group])))
        scale[group] = d * np.float32(level)
        stored = level + _SCALE_RANGE
        block[2 + group // 4] |= (stored >> 4) << (group % 4 * 2)
        block[4 + group // 2] |= (stored & 15) << (group % 2 * 4)
    store_table_codes(beside, load_lanes(scales, eight_zeros()), codes)
    for group in range(N_GROUPS):
        _store_group(codes, group, out + 8 + group * 16)
