"""Quantization to Q6_K, byte for byte ggml's (`quantize_q6_K` in ggml-quants.c)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats import block_quantizer as block
from pyggml_kernels.formats.block_quantizer import WORKSPACE_BYTES
from pyggml_kernels.formats.block_scales import first_of_largest_magnitude, store_half
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, stack_memory, store_lanes, zeros
from pyggml_kernels.formats.scale_search import SMALLEST_WEIGHT, final_levels, search_scale
from pyggml_kernels.formats.words import bits, load_word, raise_bits, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i8, load_half, u8
from pyggml_kernels.rounding import nearest

_TOP = 32
_BLOCK_BYTES = 210
_LOW_BITS, _HIGH_BITS, _SCALES, _D = 0, 128, 192, 208


@device
def _weigh(transposed: int, importance: int, weights: int, like: Any) -> None:
    """Store what weights count: their importance, or without it their squares."""
    if importance:
        block.put_side_by_side(importance, weights, 16)
    else:
        for offset in range(0, 1024, 64):
            each = load_lanes(transposed + offset, like)
            store_lanes(weights + offset, each * each)


@device
def _store_scales(out: int, scales: Any, extreme: Any) -> None:
    """Scales as signed bytes, the one of the largest magnitude as -128."""
    inverse = np.float32(-128) / extreme
    store_half(u8(out, _BLOCK_BYTES), _D, np.float32(1) / inverse)
    levels = i8(out + _SCALES, 16)
    for group in range(16):
        levels[group] = np.int8(min(127, nearest(inverse * scales[group])))


@device
def _store_levels(out: int, workspace: int, like: Any) -> None:
    """Levels for the stored scales: low four bits, high two bits."""
    d = load_half(u8(out, _BLOCK_BYTES), _D)
    scales, levels = f32(workspace + block.SCALES, 16), i8(out + _SCALES, 16)
    for group in range(16):
        scales[group] = d * np.float32(levels[group])
    scale, grouped = load_lanes(workspace + block.SCALES, like), workspace + block.GROUPED_BYTES
    final_levels(workspace + block.X, workspace + block.LEVELS, 16, scale, zeros(like), -_TOP, _TOP - 1, grouped)
    block.put_in_order(grouped, workspace + block.LEVEL_BYTES, 16)
    for half in range(2):
        for i in range(0, 32, 8):
            high = np.uint64(0)
            for quarter in range(4):
                word = load_word(workspace + block.LEVEL_BYTES + half * 128 + quarter * 32 + i)
                high |= raise_bits(bits(word, 4, 3), 2 * quarter)
            store_word(out + _HIGH_BITS + half * 32 + i, high)
        for i in range(0, 64, 8):
            levels_at = workspace + block.LEVEL_BYTES + half * 128 + i
            low = bits(load_word(levels_at), 0, 15) | raise_bits(bits(load_word(levels_at + 64), 0, 15), 4)
            store_word(out + _LOW_BITS + half * 64 + i, low)


@device
def _quantize_block(x: int, importance: int, out: int, workspace: int) -> None:
    like = lanes_of(16, np.float32(0))
    transposed, weights = workspace + block.X, workspace + block.WEIGHTS
    block.put_side_by_side(x, transposed, 16)
    _weigh(transposed, importance, weights, like)
    scale = search_scale(transposed, weights, workspace + block.LEVELS, 16, like, _TOP)
    store_lanes(workspace + block.SCALES, scale)
    scales = f32(workspace + block.SCALES, 16)
    extreme = first_of_largest_magnitude(scales, 16)
    if abs(extreme) < SMALLEST_WEIGHT:
        u8(out, _BLOCK_BYTES)[:] = np.uint8(0)
    else:
        _store_scales(out, scales, extreme)
        _store_levels(out, workspace, like)


@kernel
def quantize_q6_k(arguments: int, chunk: int, worker: int) -> None:
    """Groups of 16 with levels -32..31; see `Format._quantizer`."""
    workspace = stack_memory(WORKSPACE_BYTES)
    for index in range(block.n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block.block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, workspace)
