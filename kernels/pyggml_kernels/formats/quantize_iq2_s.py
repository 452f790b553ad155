"""Quantization to IQ2_S."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.book_groups import largest_of, mean_square, split_signs, store_scales, weigh
from pyggml_kernels.formats.book_search import Finish, group_search
from pyggml_kernels.formats.iq2_book import DIGIT_BITS, N_LEVELS, book_of, neighbours_in
from pyggml_kernels.formats.iq_grids import IQ2_S_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8

BLOCK_BYTES = 82
_BOOK = book_of(IQ2_S_GRID)
_ZERO, _QUARTER, _HIGHEST = np.float32(0), np.float32(0.25), np.float32(5)
#: A group whose largest weight is less counts as zeros.
_SMALLEST = np.float32(1e-8)
#: The scale of the block is made a little smaller than that of its largest group.
_FUDGE = np.float32(0.9875)

_search = group_search(_BOOK, N_LEVELS, DIGIT_BITS, group_size=16, n_trials=9, trial_step=0.1, finish=Finish.OUTSIDE)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return neighbours_in(_BOOK, n_distances=1)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    magnitudes, weights, address = stack_memory(64), stack_memory(64), stack_memory(16)
    codes, scales, block = i64(address, 2), f32(stack_memory(64), 16), u8(out, BLOCK_BYTES)
    block[:] = 0
    spread = mean_square(x, 2)
    largest_scale = _ZERO
    for group in range(16):
        scales[group] = _ZERO
        start = x + group * 64
        first_signs, second_signs = split_signs(start, magnitudes), split_signs(start + 32, magnitudes + 32)
        largest = largest_of(magnitudes, 16)
        if largest < _SMALLEST:
            continue
        block[34 + group * 2], block[35 + group * 2] = first_signs, second_signs
        weigh(start, importance + group * 64 if importance else 0, 16, spread, _QUARTER * spread, weights)
        scales[group] = _search(table, magnitudes, weights, largest, largest / _HIGHEST, address)
        largest_scale = max(largest_scale, scales[group])
        for i in range(2):
            run = group * 2 + i
            block[2 + run] = codes[i] & 255
            block[66 + run // 4] |= (codes[i] >> 8) << (run % 4 * 2)
    if largest_scale > _ZERO:
        store_scales(out, largest_scale, _FUDGE, scales, 16, 74)


@kernel
def quantize_iq2_s(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
