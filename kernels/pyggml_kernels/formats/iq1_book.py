"""The book of IQ1_S and IQ1_M as their quantizers search it: runs are numbers of 8 digits, two bits each.

A digit is a level less the lowest: -1, 0 and 1 are 0, 1 and 2. All levels of a run are shifted by an eighth up or down.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.book_neighbours import table_of_neighbours
from pyggml_kernels.formats.iq_grids import IQ1_GRID
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, i32

_DIGITS = IQ1_GRID.astype("<u8").view(np.uint8).reshape(-1, 8) // 8
_N_LEVELS, _DIGIT_BITS, _N_DISTANCES = 3, 2, 3
_N_NUMBERS = 1 << (8 * _DIGIT_BITS)
#: The number of each run by code.
RUNS = (_DIGITS.astype(np.int32) << (_DIGIT_BITS * np.arange(8))).sum(axis=-1).astype(np.uint16)
_LARGEST_FLOAT = np.finfo(np.float32).max
_ONE = np.float32(1)


def neighbours() -> npt.NDArray[np.int32]:
    """The table for the quantizers."""
    return table_of_neighbours((2 * _DIGITS + 1).astype(np.float32), _N_LEVELS, _DIGIT_BITS, _N_DISTANCES)


@device
def level_of(number: Any, place: int, shift: Any) -> Any:
    """The level of one weight of a run."""
    return np.float32((np.int64(number) >> (_DIGIT_BITS * place)) & 3) - _ONE + shift


@device
def _errors(x: Any, weights: Any, scale: Any, shift: Any, errors: Any) -> None:
    """Write what the error of each of 8 weights counts with each digit, (8, 4)."""
    for i in range(8):
        for digit in range(_N_LEVELS):
            difference = scale * level_of(digit, 0, shift) - x[i]
            errors[4 * i + digit] = weights[i] * difference * difference


@device
def _sums_of_four(errors: Any, sums: Any) -> None:
    """Write the sum of the errors of the first four weights, added up in their order, for each four digits."""
    for i in range(_N_LEVELS):
        for j in range(_N_LEVELS):
            two = errors[i] + errors[4 + j]
            for k in range(_N_LEVELS):
                three = two + errors[8 + k]
                for m in range(_N_LEVELS):
                    sums[i | j << 2 | k << 4 | m << 6] = three + errors[12 + m]


@device
def nearest_run(table: int, number: int, x_address: int, weights_address: int, scale: Any, shift: Any) -> Any:
    """The code of a run, and whether it is in the book; if it is not, that of the near run with the least error.

    An error is the sum over 8 weights of weight * (scale * level - x)**2, in this order (`iq1_find_best_neighbour2` in
    ggml-quants.c). There are only 24 terms to add up, and 81 beginnings of a sum: they are found once.
    """
    codes = i32(table, _N_NUMBERS)
    code = int(codes[number])
    if code >= 0:
        return code, True
    errors, sums = f32(stack_memory(128), 32), f32(stack_memory(1024), 256)
    _errors(f32(x_address, 8), f32(weights_address, 8), scale, shift, errors)
    _sums_of_four(errors, sums)
    near = i32(table + 4 * (_N_NUMBERS - code - 1), 1 << 16)
    least, best = _LARGEST_FLOAT, np.int64(near[1])
    for j in range(1, 1 + np.int64(near[0])):
        candidate = np.int64(near[j])
        run = np.int64(RUNS[candidate])
        error = sums[run & 255] + errors[16 + ((run >> 8) & 3)] + errors[20 + ((run >> 10) & 3)]
        error = error + errors[24 + ((run >> 12) & 3)] + errors[28 + (run >> 14)]
        if error < least:
            least, best = error, candidate
    return best, False


@device
def add_products(x: int, weights: int, run: Any, shift: Any, factor: Any, sum_lx: Any, sum_l2: Any) -> Any:
    """The sums of weight * level * x and weight * level * level, with 8 weights added; levels are times `factor`."""
    numbers, counts = f32(x, 8), f32(weights, 8)
    for i in range(8):
        level = level_of(run, i, shift) * factor
        sum_lx += counts[i] * level * numbers[i]
        sum_l2 += counts[i] * level * level
    return sum_lx, sum_l2
