"""Quantization to Q3_K, byte for byte ggml's (`quantize_q3_K` in ggml-quants.c)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats import block_quantizer as block
from pyggml_kernels.formats.block_quantizer import WORKSPACE_BYTES
from pyggml_kernels.formats.block_scales import first_of_largest_magnitude, search_signed, store_half
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, stack_memory, store_lanes, zeros
from pyggml_kernels.formats.scale_search import final_levels, improve_levels, search_scale
from pyggml_kernels.formats.two_bits import pack_two_bits
from pyggml_kernels.formats.words import bits, load_word, raise_bits, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8
from pyggml_kernels.rounding import nearest

_TOP, _TOP_SCALE = 4, 32
_BLOCK_BYTES = 110
_CODES, _SCALES, _D = 32, 96, 108


@device
def _scales_by_importance(x: int, importance: int, workspace: int, like: Any) -> Any:
    """Search scales for groups, then levels for the scales; returns the scale of the block."""
    transposed, weights = workspace + block.X, workspace + block.WEIGHTS
    block.put_side_by_side(importance, weights, 16)
    variance = np.float32(2) * block.sum_of_squares(x) / np.float32(256)
    store_lanes(workspace + block.SUMS, block.weigh_by_importance(transposed, weights, 16, like, variance))
    scale = search_scale(transposed, weights, workspace + block.LEVELS, 16, like, _TOP)
    store_lanes(workspace + block.SCALES, scale)
    scales, sums = f32(workspace + block.SCALES, 16), f32(workspace + block.SUMS, 16)
    return search_signed(scales, sums, 16, _TOP_SCALE, u8(workspace + block.SCALE_LEVELS, 16))


@device
def _scales_by_size(workspace: int, like: Any) -> Any:
    """Find scales for groups, and levels from -32, for the largest, to 31; returns the scale of the block."""
    scale = improve_levels(workspace + block.X, workspace + block.LEVELS, 16, like, _TOP)
    store_lanes(workspace + block.SCALES, scale)
    scales, levels = f32(workspace + block.SCALES, 16), u8(workspace + block.SCALE_LEVELS, 16)
    extreme = first_of_largest_magnitude(scales, 16)
    if extreme == np.float32(0):
        levels[:] = np.uint8(0)
        return np.float32(0)
    inverse = np.float32(-_TOP_SCALE) / extreme
    for group in range(16):
        level: Any = np.int64(np.int8(nearest(inverse * scales[group])))
        levels[group] = np.uint8(max(-_TOP_SCALE, min(_TOP_SCALE - 1, level)) + _TOP_SCALE)
    return np.float32(1) / inverse


@device
def _pack_scales(out: Any, levels: Any) -> None:
    """16 numbers of 6 bits: low halves of 0-7 and 8-15 in bytes 0-7, the high bits of number k in byte 8 + k % 4."""
    for i in range(8):
        out[i] = (levels[i] & np.uint8(15)) | (levels[i + 8] & np.uint8(15)) << np.uint8(4)
    for i in range(4):
        first = levels[i] >> np.uint8(4) | levels[i + 4] >> np.uint8(4) << np.uint8(2)
        second = levels[i + 8] >> np.uint8(4) | levels[i + 12] >> np.uint8(4) << np.uint8(2)
        out[8 + i] = first | second << np.uint8(4)


@device
def _store_levels(out: int, workspace: int, like: Any) -> None:
    """Levels for the stored scales: low two bits, and the third of weight 32 j + i at bit j of byte i."""
    d = load_half(u8(out, _BLOCK_BYTES), _D)
    scales, scale_levels = f32(workspace + block.SCALES, 16), u8(workspace + block.SCALE_LEVELS, 16)
    for group in range(16):
        scales[group] = d * np.float32(np.int64(scale_levels[group]) - _TOP_SCALE)
    scale, grouped = load_lanes(workspace + block.SCALES, like), workspace + block.GROUPED_BYTES
    final_levels(workspace + block.X, workspace + block.LEVELS, 16, scale, zeros(like), -_TOP, _TOP - 1, grouped)
    levels = workspace + block.LEVEL_BYTES
    block.put_in_order(grouped, levels, 16)
    pack_two_bits(levels, out + _CODES)
    for i in range(0, 32, 8):
        thirds = np.uint64(0)
        for place in range(8):
            thirds |= raise_bits(bits(load_word(levels + place * 32 + i), 2, 1), place)
        store_word(out + i, thirds)


@device
def _quantize_block(x: int, importance: int, out: int, workspace: int) -> None:
    like = lanes_of(16, np.float32(0))
    block.put_side_by_side(x, workspace + block.X, 16)
    d = _scales_by_importance(x, importance, workspace, like) if importance else _scales_by_size(workspace, like)
    store_half(u8(out, _BLOCK_BYTES), _D, d)
    _pack_scales(u8(out + _SCALES, 12), u8(workspace + block.SCALE_LEVELS, 16))
    _store_levels(out, workspace, like)


@kernel
def quantize_q3_k(arguments: int, chunk: int, worker: int) -> None:
    """Groups of 16 with levels -4..3; see `Format._quantizer`."""
    workspace = stack_memory(WORKSPACE_BYTES)
    for index in range(block.n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block.block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, workspace)
