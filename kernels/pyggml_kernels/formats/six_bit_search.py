"""Scales, minimums and levels of Q4_K and Q5_K: 8 groups of 32, 6-bit scales and minimums under two halves."""

from typing import Any

import numpy as np

from pyggml_kernels.formats import block_quantizer as block
from pyggml_kernels.formats.block_scales import divide_by_largest, search_positive, store_half
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, store_lanes
from pyggml_kernels.formats.scale_search import (
    final_levels,
    search_by_importance,
    search_scale_and_minimum,
)
from pyggml_kernels.formats.six_bit import pack_scales_and_minimums, scales_and_minimums
from pyggml_kernels.formats.words import store_products
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, load_half, u8

_TOP_SCALE = 63


@device
def search_groups(x: int, out: int, workspace: int, top: int, first: Any, step: Any, n_steps: int) -> None:
    """Without importance: store scales and minimums of a block and the levels found with them."""
    transposed, weights = workspace + block.X, workspace + block.WEIGHTS
    like = lanes_of(8, np.float32(0))
    block.put_side_by_side(x, transposed, 32)
    block.weigh_by_magnitude(transposed, weights, 32, like)
    levels, trial = workspace + block.LEVELS, workspace + block.TRIAL
    scale, minimum = search_scale_and_minimum(
        transposed, weights, levels, trial, 32, like, np.float32(top), first, step, n_steps
    )
    store_lanes(workspace + block.SCALES, scale)
    store_lanes(workspace + block.MINIMUMS, minimum)
    scale_levels, minimum_levels = u8(workspace + block.SCALE_LEVELS, 8), u8(workspace + block.MINIMUM_LEVELS, 8)
    d = divide_by_largest(f32(workspace + block.SCALES, 8), 8, _TOP_SCALE, scale_levels)
    dmin = divide_by_largest(f32(workspace + block.MINIMUMS, 8), 8, _TOP_SCALE, minimum_levels)
    _bound(scale_levels)
    _bound(minimum_levels)
    _store_scales(out, d, dmin, scale_levels, minimum_levels)


@device
def search_groups_by_importance(x: int, importance: int, out: int, workspace: int, top: int, bounded: bool) -> None:
    """With importance: store scales and minimums of a block and the levels found with them.

    Where zeros in the importance make a scale negative, its level is a byte above 63; ggml bounds it in Q5_K alone.
    """
    transposed, weights = workspace + block.X, workspace + block.WEIGHTS
    like = lanes_of(8, np.float32(0))
    block.put_side_by_side(x, transposed, 32)
    block.put_side_by_side(importance, weights, 32)
    variance = np.float32(2) * block.sum_of_squares(x) / np.float32(256)
    store_lanes(workspace + block.SUMS, block.weigh_by_importance(transposed, weights, 32, like, variance))
    levels, trial = workspace + block.LEVELS, workspace + block.TRIAL
    first, step = np.float32(-0.9), np.float32(0.05)
    scale, minimum = search_by_importance(
        transposed, weights, levels, trial, 32, like, np.float32(top), first, step, 36
    )
    store_lanes(workspace + block.SCALES, scale)
    store_lanes(workspace + block.MINIMUMS, minimum)
    sums = f32(workspace + block.SUMS, 8)
    scale_levels, minimum_levels = u8(workspace + block.SCALE_LEVELS, 8), u8(workspace + block.MINIMUM_LEVELS, 8)
    d = search_positive(f32(workspace + block.SCALES, 8), sums, 8, _TOP_SCALE, scale_levels)
    dmin = search_positive(f32(workspace + block.MINIMUMS, 8), sums, 8, _TOP_SCALE, minimum_levels)
    if bounded:
        _bound(scale_levels)
        _bound(minimum_levels)
    _store_scales(out, d, dmin, scale_levels, minimum_levels)


@device
def _bound(levels: Any) -> None:
    for group in range(8):
        levels[group] = min(levels[group], np.uint8(_TOP_SCALE))


@device
def _store_scales(out: int, d: Any, dmin: Any, scale_levels: Any, minimum_levels: Any) -> None:
    data = u8(out, 16)
    store_half(data, 0, d)
    store_half(data, 2, dmin)
    pack_scales_and_minimums(u8(out + 4, 12), scale_levels, minimum_levels)


@device
def store_levels(out: int, workspace: int, top: int) -> None:
    """Find the levels for the scales and minimums stored in the block, as bytes in order."""
    data = u8(out, 16)
    scale_levels, minimum_levels = scales_and_minimums(out + 4)
    store_products(workspace + block.SCALES, load_half(data, 0), scale_levels)
    store_products(workspace + block.MINIMUMS, load_half(data, 2), minimum_levels)
    like = lanes_of(8, np.float32(0))
    scale, minimum = load_lanes(workspace + block.SCALES, like), load_lanes(workspace + block.MINIMUMS, like)
    grouped = workspace + block.GROUPED_BYTES
    final_levels(workspace + block.X, workspace + block.LEVELS, 32, scale, minimum, 0, top, grouped)
    block.put_in_order(grouped, workspace + block.LEVEL_BYTES, 32)
