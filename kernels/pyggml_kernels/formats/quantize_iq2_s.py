"""Quantization to IQ2_S."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.book_groups import largest_of, mean_square_twice, scale_code, split_signs, weigh_group
from pyggml_kernels.formats.book_neighbours import table_of_neighbours
from pyggml_kernels.formats.book_search import group_search
from pyggml_kernels.formats.iq_grids import IQ2_S_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8

BLOCK_BYTES = 82
# Magnitudes in a file are 8, 25 and 43; those of the search 1, 3 and 5.
_BOOK = (IQ2_S_GRID.astype("<u8").view(np.uint8).reshape(-1, 8) // 16 * 2 + 1).astype(np.float32)
_ZERO, _ONE, _QUARTER = np.float32(0), np.float32(1), np.float32(0.25)
#: A group whose largest weight is less counts as zeros.
_SMALLEST = np.float32(1e-8)
#: The scale of the block is made a little smaller than that of its largest group.
_FUDGE, _LARGEST_SCALE = np.float32(0.9875), np.float32(31)

_search = group_search(_BOOK, 3, 2, group_size=16, n_trials=9, trial_step=0.1, finish_all=False)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return table_of_neighbours(_BOOK, n_levels=3, digit_bits=2, n_distances=1)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    magnitudes, weights, roots, address = stack_memory(64), stack_memory(64), stack_memory(64), stack_memory(16)
    codes, scales, block = i64(address, 2), f32(stack_memory(64), 16), u8(out, BLOCK_BYTES)
    block[:] = 0
    spread = mean_square_twice(x)
    largest_scale = _ZERO
    for group in range(16):
        scales[group] = _ZERO
        start = x + group * 64
        first_signs, second_signs = split_signs(start, magnitudes), split_signs(start + 32, magnitudes + 32)
        largest = largest_of(magnitudes, 16)
        if largest < _SMALLEST:
            continue
        block[34 + group * 2], block[35 + group * 2] = first_signs, second_signs
        counts = importance + group * 64 if importance else 0
        weigh_group(start, counts, 16, spread, _QUARTER * spread, weights, roots)
        scales[group] = _search(table, magnitudes, weights, roots, largest, address)
        largest_scale = max(largest_scale, scales[group])
        for i in range(2):
            run = group * 2 + i
            block[2 + run] = codes[i] & 255
            block[66 + run // 4] |= (codes[i] >> 8) << (run % 4 * 2)
    if largest_scale > _ZERO:
        d = largest_scale / _LARGEST_SCALE
        store_half(block, 0, d * _FUDGE)
        inverse = _ONE / d
        for pair in range(8):
            low, high = scale_code(scales[2 * pair], inverse), scale_code(scales[2 * pair + 1], inverse)
            block[74 + pair] = low | (high << 4)


@kernel
def quantize_iq2_s(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    a = i64(arguments, N_ARGUMENTS)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        for index in range(a[2] // 256):
            importance = a[5] + index * 1024 if a[5] else 0
            _quantize_block(
                a[0] + (row * a[2] + index * 256) * 4, importance, a[3] + row * a[4] + index * BLOCK_BYTES, a[7]
            )
