"""Quantization to IQ1_M, with float operations in ggml's order (`quantize_row_iq1_m_impl` in ggml-quants.c).

A group is 16 weights, two halves of one run each; halves share a scale, but each has its shift.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.book_groups import mean_square, scale_code, weigh
from pyggml_kernels.formats.iq1_book import RUNS, add_products
from pyggml_kernels.formats.iq1_group import choose_runs, shift_of
from pyggml_kernels.formats.iq1_split import WORST, keep_better, largest_magnitude, sort_group
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, stack_memory, store_lanes, zeros
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8, u16

BLOCK_BYTES = 56
_ZERO, _ONE, _EIGHTH = np.float32(0), np.float32(1), np.float32(0.125)
#: A group whose weights are all smaller counts as zeros.
_SMALLEST = np.float32(1e-7)
#: The scale of the block is made a little larger than fits best; the largest code of a group's scale means 15.
_FUDGE, _LARGEST_SCALE = np.float32(1.1125), np.float32(15)
#: Bounds of a split: 0..16.
_N_BOUNDS = 17
#: Sums of one half up to each bound, 16 groups side by side, and bytes of them.
_N_SUMS, _SUM_BYTES = 272, 1088


@device
def _sort_and_sum(x: int, weights: int, order: int, sums_x: int, sums_w: int) -> None:
    """Sort each group; side by side, (2, 17, 16), the sums of weight * x and of weight over the first of it.

    Each half has sums of its own, to which the other half's weights add nothing.
    """
    for group in range(16):
        sort_group(x + group * 64, 16, order + group * 16)
        numbers, counts, places = f32(x + group * 64, 16), f32(weights + group * 64, 16), u8(order + group * 16, 16)
        for half in range(2):
            sum_x, sum_w = f32(sums_x + half * _SUM_BYTES, _N_SUMS), f32(sums_w + half * _SUM_BYTES, _N_SUMS)
            sum_x[group] = sum_w[group] = _ZERO
            for i in range(16):
                place = np.int64(places[i])
                x_here, w_here = sum_x[i * 16 + group], sum_w[i * 16 + group]
                if place // 8 == half:
                    x_here, w_here = x_here + counts[place] * numbers[place], w_here + counts[place]
                sum_x[(i + 1) * 16 + group], sum_w[(i + 1) * 16 + group] = x_here, w_here


@device
def _half_products(sums_x: int, sums_w: int, first: int, second: int, high: Any, like: Any) -> Any:
    """Of one half the sums of weight * level * x and of weight * level * level, where `high` is the highest level."""
    middle, low = high - _ONE, high - _ONE - _ONE
    total_x, total_w = load_lanes(sums_x + 16 * 64, like), load_lanes(sums_w + 16 * 64, like)
    x1, x2 = load_lanes(sums_x + first * 64, like), load_lanes(sums_x + second * 64, like)
    w1, w2 = load_lanes(sums_w + first * 64, like), load_lanes(sums_w + second * 64, like)
    sum_lx = total_x * high - (x1 + x2)
    sum_l2 = total_w * high * high + w1 * (low * low - middle * middle) + w2 * (middle * middle - high * high)
    return sum_lx, sum_l2


@device
def _best_splits(sums_x: int, sums_w: int, scales: int, chosen_splits: int) -> None:
    """Of each group the scale and the number of the best split: (first * 17 + second) * 4.

    1 more if the first half is shifted down, 2 more if the second is; -1 for a group without any.
    """
    like = lanes_of(16, _ZERO)
    scale, best, chosen = zeros(like), like + WORST, like - _ONE
    up, down = _ONE + _EIGHTH, _ONE - _EIGHTH
    for first in range(_N_BOUNDS):
        for second in range(first, _N_BOUNDS):
            number = (first * _N_BOUNDS + second) * 4
            up_lx, up_l2 = _half_products(sums_x, sums_w, first, second, up, like)
            down_lx, down_l2 = _half_products(sums_x, sums_w, first, second, down, like)
            other_x, other_w = sums_x + _SUM_BYTES, sums_w + _SUM_BYTES
            other_up_lx, other_up_l2 = _half_products(other_x, other_w, first, second, up, like)
            other_down_lx, other_down_l2 = _half_products(other_x, other_w, first, second, down, like)
            sum_lx, sum_l2 = up_lx + other_up_lx, up_l2 + other_up_l2
            scale, best, chosen = keep_better(sum_lx, sum_l2, number, scale, best, chosen)
            sum_lx, sum_l2 = up_lx + other_down_lx, up_l2 + other_down_l2
            scale, best, chosen = keep_better(sum_lx, sum_l2, number + 2, scale, best, chosen)
            sum_lx, sum_l2 = down_lx + other_up_lx, down_l2 + other_up_l2
            scale, best, chosen = keep_better(sum_lx, sum_l2, number + 1, scale, best, chosen)
            sum_lx, sum_l2 = down_lx + other_down_lx, down_l2 + other_down_l2
            scale, best, chosen = keep_better(sum_lx, sum_l2, number + 3, scale, best, chosen)
    store_lanes(scales, scale)
    store_lanes(chosen_splits, chosen)


@device
def _store_scales(x: int, weights: int, largest_scale: Any, scales: Any, all_downs: Any, codes: Any, out: int) -> None:
    """Write the codes of the groups' scales, the shifts, and the block's scale that fits best to all of that."""
    high, words, half = u8(out + 32, 16), u16(out + 48, 4), u16(stack_memory(2), 1)
    d = largest_scale / _LARGEST_SCALE
    sum_lx, sum_l2 = _ZERO, _ZERO
    for group in range(16):
        code, downs = scale_code(scales[group], _ONE / d, 7), all_downs[group]
        words[group // 4] |= code << (3 * (group % 4))
        high[group] |= (downs & 1) << 3 | (downs >> 1) << 7
        factor = np.float32(2 * code + 1)
        for run in range(2):
            start, number = group * 64 + run * 32, RUNS[codes[group * 2 + run]]
            sum_lx, sum_l2 = add_products(
                x + start, weights + start, number, shift_of(downs, run), factor, sum_lx, sum_l2
            )
    if sum_l2 > _ZERO:
        d = sum_lx / sum_l2
    store_half(half.view(np.uint8), 0, d * _FUDGE)
    for i in range(4):
        words[i] |= ((np.int64(half[0]) >> (4 * i)) & 15) << 12


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    weights, order = stack_memory(1024), stack_memory(256)
    sums_x, sums_w = stack_memory(2176), stack_memory(2176)
    scales_address, splits_address, codes_address = stack_memory(64), stack_memory(64), stack_memory(256)
    codes, downs, block = i64(codes_address, 32), i64(stack_memory(128), 16), u8(out, BLOCK_BYTES)
    scales, splits = f32(scales_address, 16), f32(splits_address, 16)
    block[:] = 0
    weigh(x, importance, 256, mean_square(x, 2), _ZERO, weights)
    _sort_and_sum(x, weights, order, sums_x, sums_w)
    _best_splits(sums_x, sums_w, scales_address, splits_address)
    largest_scale = _ZERO
    for group in range(16):
        start, split, two = group * 64, int(splits[group]), i64(codes_address + group * 16, 2)
        two[:] = 0
        if split < 0 or largest_magnitude(x + start, 16) < _SMALLEST:
            scales[group], downs[group] = _ZERO, 0
            continue
        first, second, down = split // 4 // _N_BOUNDS, split // 4 % _N_BOUNDS, split % 4
        places, scale = order + group * 16, scales[group]
        scales[group], downs[group] = choose_runs(
            x + start, weights + start, places, 16, first, second, down, scale, table, two
        )
        largest_scale = max(largest_scale, scales[group])
        block[group * 2], block[group * 2 + 1] = two[0] & 255, two[1] & 255
        block[32 + group] = two[0] >> 8 | (two[1] >> 8) << 4
    if largest_scale > _ZERO:
        _store_scales(x, weights, largest_scale, scales, downs, codes, out)


@kernel
def quantize_iq1_m(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
