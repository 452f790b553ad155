"""Quantization to IQ3_XXS."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.book_groups import largest_of, mean_square, split_even_signs, store_signs_and_scales, weigh
from pyggml_kernels.formats.book_neighbours import table_of_neighbours
from pyggml_kernels.formats.book_search import Finish, group_search
from pyggml_kernels.formats.iq_grids import IQ3_XXS_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8

BLOCK_BYTES = 98
# Magnitudes in a file are 8 k + 4, with 62 for k = 7; those of the search 2 k + 1.
_BOOK = (IQ3_XXS_GRID.astype("<u4").view(np.uint8).reshape(-1, 4) // 8 * 2 + 1).astype(np.float32)
_ZERO, _HIGHEST = np.float32(0), np.float32(15)
#: A group whose largest weight is less counts as zeros.
_SMALLEST = np.float32(1e-8)
#: The scale of the block is made a little larger than that of its largest group needs.
_FUDGE = np.float32(1.0125)

_search = group_search(_BOOK, 8, 3, group_size=32, n_trials=15, trial_step=0.2, finish=Finish.OUTSIDE)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return table_of_neighbours(_BOOK, n_levels=8, digit_bits=3, n_distances=2)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    magnitudes, weights, address = stack_memory(128), stack_memory(128), stack_memory(64)
    codes, scales, block = i64(address, 8), f32(stack_memory(32), 8), u8(out, BLOCK_BYTES)
    signs = i64(stack_memory(64), 8)
    block[:] = 0
    spread = mean_square(x, 2)
    largest_scale = _ZERO
    for group in range(8):
        scales[group], signs[group] = _ZERO, 0
        start = x + group * 128
        weigh(start, importance + group * 128 if importance else 0, 32, spread, _ZERO, weights)
        split = split_even_signs(start, weights, 32, magnitudes)
        largest = largest_of(magnitudes, 32)
        if largest < _SMALLEST:
            continue
        scale = _search(table, magnitudes, weights, largest, largest / _HIGHEST, address)
        # Turned signs can make a scale negative.
        signs[group] = split if scale >= _ZERO else ~split
        scales[group] = abs(scale)
        largest_scale = max(largest_scale, scales[group])
        for run in range(8):
            block[2 + group * 8 + run] = codes[run]
    if largest_scale > _ZERO:
        store_signs_and_scales(out, largest_scale, _FUDGE, signs, scales, 66, 4)
    else:
        block[:] = 0


@kernel
def quantize_iq3_xxs(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
