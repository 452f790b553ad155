"""Quantization to Q2_K, byte for byte ggml's (`quantize_q2_K` in ggml-quants.c)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats import block_quantizer as block
from pyggml_kernels.formats.block_quantizer import WORKSPACE_BYTES
from pyggml_kernels.formats.block_scales import divide_by_largest, search_positive, store_half
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, magnitude, stack_memory, store_lanes
from pyggml_kernels.formats.scale_search import final_levels, search_by_importance, search_by_magnitude
from pyggml_kernels.formats.two_bits import pack_two_bits
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8

_TOP, _TOP_SCALE = 3, 15
_BLOCK_BYTES = 84
_CODES, _D, _DMIN = 16, 80, 82


@device
def _search_by_importance(x: int, importance: int, workspace: int, like: Any) -> Any:
    """Scales and minimums of groups, their levels, and the scales of both."""
    transposed, weights = workspace + block.X, workspace + block.WEIGHTS
    levels, trial = workspace + block.LEVELS, workspace + block.TRIAL
    block.put_side_by_side(importance, weights, 16)
    variance = block.sum_of_squares(x) / np.float32(256)
    store_lanes(workspace + block.SUMS, block.weigh_by_importance(transposed, weights, 16, like, variance))
    first, step = np.float32(-0.9), np.float32(0.05)
    scale, minimum = search_by_importance(
        transposed, weights, levels, trial, 16, like, np.float32(_TOP), first, step, 36
    )
    store_lanes(workspace + block.SCALES, scale)
    store_lanes(workspace + block.MINIMUMS, minimum)
    scales, minimums = f32(workspace + block.SCALES, 16), f32(workspace + block.MINIMUMS, 16)
    sums = f32(workspace + block.SUMS, 16)
    d = search_positive(scales, sums, 16, _TOP_SCALE, u8(workspace + block.SCALE_LEVELS, 16))
    return d, search_positive(minimums, sums, 16, _TOP_SCALE, u8(workspace + block.MINIMUM_LEVELS, 16))


@device
def _search_by_size(workspace: int, like: Any) -> Any:
    """As `_search_by_importance`, where weights count by their magnitude."""
    transposed, weights = workspace + block.X, workspace + block.WEIGHTS
    levels, trial = workspace + block.LEVELS, workspace + block.TRIAL
    for offset in range(0, 1024, 64):
        store_lanes(weights + offset, magnitude(load_lanes(transposed + offset, like)))
    first, step = np.float32(-0.5), np.float32(0.1)
    scale, minimum = search_by_magnitude(
        transposed, weights, levels, trial, 16, like, np.float32(_TOP), first, step, 15
    )
    store_lanes(workspace + block.SCALES, scale)
    store_lanes(workspace + block.MINIMUMS, minimum)
    scales, minimums = f32(workspace + block.SCALES, 16), f32(workspace + block.MINIMUMS, 16)
    d = divide_by_largest(scales, 16, _TOP_SCALE, u8(workspace + block.SCALE_LEVELS, 16))
    return d, divide_by_largest(minimums, 16, _TOP_SCALE, u8(workspace + block.MINIMUM_LEVELS, 16))


@device
def _store_levels(out: int, workspace: int, like: Any) -> None:
    """Levels for the stored scales and minimums, two bits each."""
    data = u8(out, _BLOCK_BYTES)
    d, dmin = load_half(data, _D), load_half(data, _DMIN)
    scales, minimums = f32(workspace + block.SCALES, 16), f32(workspace + block.MINIMUMS, 16)
    for group in range(16):
        scales[group] = d * np.float32(data[group] & np.uint8(15))
        minimums[group] = dmin * np.float32(data[group] >> np.uint8(4))
    scale, minimum = load_lanes(workspace + block.SCALES, like), load_lanes(workspace + block.MINIMUMS, like)
    grouped = workspace + block.GROUPED_BYTES
    final_levels(workspace + block.X, workspace + block.LEVELS, 16, scale, minimum, 0, _TOP, grouped)
    block.put_in_order(grouped, workspace + block.LEVEL_BYTES, 16)
    pack_two_bits(workspace + block.LEVEL_BYTES, out + _CODES)


@device
def _quantize_block(x: int, importance: int, out: int, workspace: int) -> None:
    like = lanes_of(16, np.float32(0))
    block.put_side_by_side(x, workspace + block.X, 16)
    if importance:
        d, dmin = _search_by_importance(x, importance, workspace, like)
    else:
        d, dmin = _search_by_size(workspace, like)
    data = u8(out, _BLOCK_BYTES)
    store_half(data, _D, d)
    store_half(data, _DMIN, dmin)
    scales, minimums = u8(workspace + block.SCALE_LEVELS, 16), u8(workspace + block.MINIMUM_LEVELS, 16)
    for group in range(16):
        data[group] = scales[group] | minimums[group] << np.uint8(4)
    _store_levels(out, workspace, like)


@kernel
def quantize_q2_k(arguments: int, chunk: int, worker: int) -> None:
    """Groups of 16 with levels 0..3; see `Format._quantizer`."""
    workspace = stack_memory(WORKSPACE_BYTES)
    for index in range(block.n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block.block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, workspace)
