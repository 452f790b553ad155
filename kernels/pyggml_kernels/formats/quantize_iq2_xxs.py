"""Quantization to IQ2_XXS."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.block_scales import search_positive
from pyggml_kernels.formats.book_groups import largest_of, mean_square, split_even_signs, store_signs_and_scales, weigh
from pyggml_kernels.formats.book_search import Finish, group_search
from pyggml_kernels.formats.iq2_book import DIGIT_BITS, N_LEVELS, book_of, neighbours_in
from pyggml_kernels.formats.iq_grids import IQ2_XXS_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.formats.scale_search import SMALLEST_WEIGHT
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8

BLOCK_BYTES = 66
_BOOK = book_of(IQ2_XXS_GRID)
_ZERO, _ONE, _THREE = np.float32(0), np.float32(1), np.float32(3)

_search = group_search(_BOOK, N_LEVELS, DIGIT_BITS, group_size=32, n_trials=6, trial_step=0.1, finish=Finish.ALL)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return neighbours_in(_BOOK, n_distances=2)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block. Trials start from the scale that fits levels 0..4 best, whatever the book."""
    magnitudes, weights, address = stack_memory(128), stack_memory(128), stack_memory(32)
    codes, scales, block = i64(address, 4), f32(stack_memory(32), 8), u8(out, BLOCK_BYTES)
    signs, levels = i64(stack_memory(64), 8), u8(stack_memory(32), 32)
    block[:] = 0
    spread = mean_square(x, 1)
    largest_scale = _ZERO
    for group in range(8):
        scales[group], signs[group] = _ZERO, 0
        start = x + group * 128
        weigh(start, importance + group * 128, 32, spread, _ZERO, weights)
        split = split_even_signs(start, weights, 32, magnitudes)
        if largest_of(magnitudes, 32) < SMALLEST_WEIGHT:
            continue
        first_scale = search_positive(f32(magnitudes, 32), f32(weights, 32), 32, 4, levels)
        if first_scale * _THREE <= _ZERO:
            continue
        scale = _search(table, magnitudes, weights, first_scale * _THREE, first_scale, address)
        # Turned signs can make a scale negative.
        signs[group] = split if scale >= _ZERO else ~split
        scales[group] = abs(scale)
        largest_scale = max(largest_scale, scales[group])
        for run in range(4):
            block[2 + group * 8 + run] = codes[run]
    if largest_scale > _ZERO:
        store_signs_and_scales(out, largest_scale, _ONE, signs, scales, 6, 8)
    else:
        block[:] = 0


@kernel
def quantize_iq2_xxs(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
