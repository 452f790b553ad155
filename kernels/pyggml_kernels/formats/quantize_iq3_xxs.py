"""Quantization to IQ3_XXS."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.book_groups import largest_of, mean_square_twice, scale_code, split_signs, weigh_group
from pyggml_kernels.formats.book_neighbours import table_of_neighbours
from pyggml_kernels.formats.book_search import group_search
from pyggml_kernels.formats.iq_grids import IQ3_XXS_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8

BLOCK_BYTES = 98
# Magnitudes in a file are 8 k + 4, with 62 for k = 7; those of the search 2 k + 1.
_BOOK = (IQ3_XXS_GRID.astype("<u4").view(np.uint8).reshape(-1, 4) // 8 * 2 + 1).astype(np.float32)
_ZERO, _ONE = np.float32(0), np.float32(1)
#: A group whose largest weight is less counts as zeros.
_SMALLEST = np.float32(1e-8)
#: The scale of the block is made a little larger than that of its largest group needs.
_FUDGE, _LARGEST_SCALE = np.float32(1.0125), np.float32(31)

_search = group_search(_BOOK, 8, 3, group_size=32, n_trials=15, trial_step=0.2, finish_all=False)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return table_of_neighbours(_BOOK, n_levels=8, digit_bits=3, n_distances=2)


@device
def _even_signs(x: int, weights: int, magnitudes: int) -> Any:
    """As `split_signs`, but the sign that costs least is turned if the number of minus signs is odd: the low 7 bits."""
    signs = split_signs(x, magnitudes)
    numbers, counts = f32(x, 8), f32(weights, 8)
    n_negative, cheapest, least = 0, 0, counts[0] * numbers[0] * numbers[0]
    for i in range(8):
        n_negative += (signs >> i) & 1
        cost = counts[i] * numbers[i] * numbers[i]
        if cost < least:
            cheapest, least = i, cost
    if n_negative % 2:
        turned = f32(magnitudes, 8)
        turned[cheapest] = -turned[cheapest]
        signs ^= 1 << cheapest
    return signs & 127


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    magnitudes, weights, roots, address = stack_memory(128), stack_memory(128), stack_memory(128), stack_memory(64)
    codes, scales, block = i64(address, 8), f32(stack_memory(32), 8), u8(out, BLOCK_BYTES)
    words = i64(stack_memory(64), 8)
    block[:] = 0
    spread = mean_square_twice(x)
    largest_scale = _ZERO
    for group in range(8):
        scales[group], words[group] = _ZERO, 0
        start = x + group * 128
        weigh_group(start, importance + group * 128 if importance else 0, 32, spread, _ZERO, weights, roots)
        signs = 0
        for i in range(4):
            signs |= _even_signs(start + i * 32, weights + i * 32, magnitudes + i * 32) << (7 * i)
        largest = largest_of(magnitudes, 32)
        if largest < _SMALLEST:
            continue
        scale = _search(table, magnitudes, weights, roots, largest, address)
        # Turned signs can make a scale negative.
        words[group] = signs if scale >= _ZERO else ~signs & 0xFFFFFFF
        scales[group] = abs(scale)
        largest_scale = max(largest_scale, scales[group])
        for run in range(8):
            block[2 + group * 8 + run] = codes[run]
    if largest_scale == _ZERO:
        block[:] = 0
        return
    d = largest_scale / _LARGEST_SCALE
    store_half(block, 0, d * _FUDGE)
    for group in range(8):
        word = words[group] | (scale_code(scales[group], _ONE / d) << 28)
        for i in range(4):
            block[66 + group * 4 + i] = (word >> (8 * i)) & 255


@kernel
def quantize_iq3_xxs(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    a = i64(arguments, N_ARGUMENTS)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        for index in range(a[2] // 256):
            importance = a[5] + index * 1024 if a[5] else 0
            _quantize_block(
                a[0] + (row * a[2] + index * 256) * 4, importance, a[3] + row * a[4] + index * BLOCK_BYTES, a[7]
            )
