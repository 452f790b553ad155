"""Quantization to IQ3_S."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_quantizer import N_ARGUMENTS, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.book_groups import largest_of, mean_square, split_signs, store_scales, weigh
from pyggml_kernels.formats.book_neighbours import table_of_neighbours
from pyggml_kernels.formats.book_search import Finish, group_search
from pyggml_kernels.formats.iq_grids import IQ3_S_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i64, u8

BLOCK_BYTES = 110
_BOOK = IQ3_S_GRID.astype("<u4").view(np.uint8).reshape(-1, 4).astype(np.float32)
_ZERO, _HIGHEST = np.float32(0), np.float32(15)
#: The scale of the block is made a little larger than that of its largest group needs.
_FUDGE = np.float32(1.033)

_search = group_search(_BOOK, 8, 3, group_size=32, n_trials=9, trial_step=0.2, finish=Finish.ALL_IF_ANY)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizer."""
    return table_of_neighbours(_BOOK, n_levels=8, digit_bits=3, n_distances=3)


@device
def _quantize_block(x: int, importance: int, out: int, table: int) -> None:
    """One block. A group of zeros takes no place: the codes and signs of later groups move up, as in ggml."""
    magnitudes, weights, address = stack_memory(128), stack_memory(128), stack_memory(64)
    codes, scales, block = i64(address, 8), f32(stack_memory(32), 8), u8(out, BLOCK_BYTES)
    signs = i64(stack_memory(32), 4)
    block[:] = 0
    spread = mean_square(x, 2)
    place, largest_scale = 0, _ZERO
    for group in range(8):
        scales[group] = _ZERO
        start = x + group * 128
        for i in range(4):
            signs[i] = split_signs(start + i * 32, magnitudes + i * 32)
        largest = largest_of(magnitudes, 32)
        if largest == _ZERO:
            continue
        for i in range(4):
            block[74 + place * 4 + i] = signs[i]
        weigh(start, importance + group * 128 if importance else 0, 32, spread, _ZERO, weights)
        scales[group] = _search(table, magnitudes, weights, largest, largest / _HIGHEST, address)
        largest_scale = max(largest_scale, scales[group])
        for run in range(8):
            block[2 + place * 8 + run] = codes[run] & 255
            block[66 + group] |= (codes[run] >> 8) << run
        place += 1
    if largest_scale > _ZERO:
        store_scales(out, largest_scale, _FUDGE, scales, 8, 106)


@kernel
def quantize_iq3_s(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer` and `BookFormat`."""
    table = i64(arguments, N_ARGUMENTS)[7]
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, table)
