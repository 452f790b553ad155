"""Quantization to IQ2_XS."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.book_groups import largest_of, mean_square, split_even_signs, store_scales, weigh
from pyggml_kernels.formats.book_search import Finish, group_search
from pyggml_kernels.formats.iq2_book import DIGIT_BITS, N_LEVELS, book_of, neighbours_in
from pyggml_kernels.formats.iq_grids import IQ2_XS_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.formats.scale_search import SMALLEST_WEIGHT
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8, u16

BLOCK_BYTES = 74
_BOOK = book_of(IQ2_XS_GRID)
_ZERO, _ONE, _HIGHEST = np.float32(0), np.float32(1), np.float32(5)

_search = group_search(_BOOK, N_LEVELS, DIGIT_BITS, group_size=16, n_trials=9, trial_step=0.1, finish=Finish.OUTSIDE)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return neighbours_in(_BOOK, n_distances=2)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block."""
    magnitudes, weights, address = stack_memory(64), stack_memory(64), stack_memory(16)
    codes, scales, block = i64(address, 2), f32(stack_memory(64), 16), u8(out, BLOCK_BYTES)
    words = u16(out + 2, 32)
    block[:] = 0
    spread = mean_square(x, 1)
    largest_scale = _ZERO
    for group in range(16):
        scales[group] = _ZERO
        start = x + group * 64
        weigh(start, importance + group * 64, 16, spread, _ZERO, weights)
        signs = split_even_signs(start, weights, 16, magnitudes)
        largest = largest_of(magnitudes, 16)
        if largest < SMALLEST_WEIGHT:
            continue
        scale = _search(table, magnitudes, weights, largest, largest / _HIGHEST, address)
        if scale < _ZERO:
            # Turned signs can make a scale negative.
            scale, signs = -scale, ~signs
        scales[group] = scale
        largest_scale = max(largest_scale, scale)
        for i in range(2):
            words[group * 2 + i] = codes[i] | ((signs >> (7 * i)) & 127) << 9
    if largest_scale > _ZERO:
        store_scales(out, largest_scale, _ONE, scales, 16, 66)
    else:
        block[:] = 0


@kernel
def quantize_iq2_xs(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
