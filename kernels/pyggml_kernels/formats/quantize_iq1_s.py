"""Quantization to IQ1_S, with float operations in ggml's order (`quantize_row_iq1_s_impl` in ggml-quants.c)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.book_groups import mean_square, scale_code, weigh
from pyggml_kernels.formats.iq1_group import choose_runs
from pyggml_kernels.formats.iq1_split import WORST, keep_better, largest_magnitude, sort_group
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, stack_memory, store_lanes, zeros
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8, u16

BLOCK_BYTES = 50
_ZERO, _ONE, _EIGHTH = np.float32(0), np.float32(1), np.float32(0.125)
#: A group whose weights are all smaller counts as zeros.
_SMALLEST = np.float32(1e-12)
#: The scale of the block is made a little larger than its largest group needs, whose code means 15.
_FUDGE, _LARGEST_SCALE = np.float32(1.125), np.float32(15)
#: Bounds of a split: 0..32.
_N_BOUNDS = 33


@device
def _sort_and_sum(x: int, weights: int, order: int, sums_x: int, sums_w: int) -> None:
    """Sort each group; side by side, (33, 8), the sums of weight * x and of weight over the first of it."""
    for group in range(8):
        sort_group(x + group * 128, 32, order + group * 32)
        numbers, counts, places = f32(x + group * 128, 32), f32(weights + group * 128, 32), u8(order + group * 32, 32)
        sum_x, sum_w = f32(sums_x, _N_BOUNDS * 8), f32(sums_w, _N_BOUNDS * 8)
        sum_x[group] = sum_w[group] = _ZERO
        for i in range(32):
            place = np.int64(places[i])
            sum_x[(i + 1) * 8 + group] = sum_x[i * 8 + group] + counts[place] * numbers[place]
            sum_w[(i + 1) * 8 + group] = sum_w[i * 8 + group] + counts[place]


@device
def _weighted(below: Any, between: Any, above: Any, shift: Any) -> Any:
    """The sum of three parts, each times its level."""
    return below * (shift - _ONE) + between * shift + above * (shift + _ONE)


@device
def _weighted_twice(below: Any, between: Any, above: Any, shift: Any) -> Any:
    """The sum of three parts, each times its level twice."""
    low, high = shift - _ONE, shift + _ONE
    return below * low * low + between * shift * shift + above * high * high


@device
def _best_splits(sums_x: int, sums_w: int, scales: int, chosen_splits: int) -> None:
    """Of each group the scale and the number of the best split, (first * 33 + second) * 2, and 1 more if shifted down.

    -1 for a group without any.
    """
    like = lanes_of(8, _ZERO)
    scale, best, chosen = zeros(like), like + WORST, like - _ONE
    total_x, total_w = load_lanes(sums_x + 32 * 32, like), load_lanes(sums_w + 32 * 32, like)
    for first in range(_N_BOUNDS):
        x1, w1 = load_lanes(sums_x + first * 32, like), load_lanes(sums_w + first * 32, like)
        for second in range(first, _N_BOUNDS):
            x2, w2 = load_lanes(sums_x + second * 32, like), load_lanes(sums_w + second * 32, like)
            for down in range(2):
                shift = -_EIGHTH if down else _EIGHTH
                sum_lx = _weighted(x1, x2 - x1, total_x - x2, shift)
                sum_l2 = _weighted_twice(w1, w2 - w1, total_w - w2, shift)
                number = (first * _N_BOUNDS + second) * 2 + down
                scale, best, chosen = keep_better(sum_lx, sum_l2, number, scale, best, chosen)
    store_lanes(scales, scale)
    store_lanes(chosen_splits, chosen)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    weights, order = stack_memory(1024), stack_memory(256)
    sums_x, sums_w = stack_memory(1056), stack_memory(1056)
    scales_address, splits_address = stack_memory(32), stack_memory(32)
    codes, downs, block = i64(stack_memory(32), 4), i64(stack_memory(64), 8), u8(out, BLOCK_BYTES)
    scales, splits, high = f32(scales_address, 8), f32(splits_address, 8), u16(out + 34, 8)
    block[:] = 0
    weigh(x, importance, 256, mean_square(x, 2), _ZERO, weights)
    _sort_and_sum(x, weights, order, sums_x, sums_w)
    _best_splits(sums_x, sums_w, scales_address, splits_address)
    largest_scale = _ZERO
    for group in range(8):
        start, split = group * 128, int(splits[group])
        if split < 0 or largest_magnitude(x + start, 32) < _SMALLEST:
            scales[group], downs[group] = _ZERO, 0
            continue
        first, second, down = split // 2 // _N_BOUNDS, split // 2 % _N_BOUNDS, split % 2 * 15
        places, scale = order + group * 32, scales[group]
        scales[group], downs[group] = choose_runs(
            x + start, weights + start, places, 32, first, second, down, scale, table, codes
        )
        largest_scale = max(largest_scale, scales[group])
        for run in range(4):
            block[2 + group * 4 + run] = codes[run] & 255
            high[group] |= (codes[run] >> 8) << (3 * run)
    if largest_scale > _ZERO:
        d = largest_scale / _LARGEST_SCALE
        store_half(block, 0, d * _FUDGE)
        for group in range(8):
            high[group] |= scale_code(scales[group], _ONE / d, 7) << 12 | (downs[group] & 1) << 15


@kernel
def quantize_iq1_s(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
