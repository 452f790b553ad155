"""The search for the scale of a group whose weights are runs from a code book.

Levels are 2 k + 1, k from 0 up; signs are kept apart. Every float operation is in the order of ggml's
(`quantize_row_iq3_s_impl` and its like in ggml-quants.c).
"""

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, i32, i64
from pyggml_kernels.rounding import nearest

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
#: A table's length is not passed; indices are those that it has itself.
_UNBOUNDED = 1 << 40
_LARGEST_FLOAT = np.finfo(np.float32).max


class Finish(Enum):
    """Which runs are chosen again at the end, for the scale that was found."""

    OUTSIDE = "those whose nearest levels were not in the book"
    ALL_IF_ANY = "all, if any were not"
    ALL = "all"


def _run_finder(book: npt.NDArray[np.float32], n_levels: int, digit_bits: int) -> Any:
    """What finds the run of the book for weights and a scale."""
    run_length = book.shape[1]
    n_numbers = 1 << (digit_bits * run_length)

    @device
    def find_run(table: Any, x: Any, counts: Any, first: int, inverse: Any, scale: Any) -> Any:
        """The code for the weights from `first` on, and whether their nearest levels are in the book.

        If they are not, the near run with the least error is taken; `counts` is how much errors count.
        """
        number = 0
        for i in range(run_length):
            level = nearest(_HALF * (inverse * x[first + i] - _ONE))
            number |= max(0, min(n_levels - 1, level)) << (digit_bits * i)
        code = np.int64(table[number])
        if code >= 0:
            return code, True
        place = n_numbers - code - 1
        least, best = _LARGEST_FLOAT, np.int64(table[place + 1])
        for j in range(place + 1, place + 1 + np.int64(table[place])):
            candidate = np.int64(table[j])
            error = _ZERO
            for i in range(run_length):
                difference = scale * book[candidate, i] - x[first + i]
                error += counts[first + i] * difference * difference
            if error < least:
                least, best = error, candidate
        return best, False

    return find_run


def group_search(
    book: npt.NDArray[np.float32],
    n_levels: int,
    digit_bits: int,
    group_size: int,
    n_trials: int,
    trial_step: float,
    finish: Finish,
) -> Any:
    """`(table, x, weights, largest, scale, codes)`: stores the codes of a group's runs, returns the scale.

    The first three are addresses: of a table of `book_neighbours`, of weights, mostly positive, and of what errors
    count. Trials map `largest` to the highest level and up to `n_trials` steps more or less; `scale` stays if none of
    them is of use.
    """
    find_run = _run_finder(book, n_levels, digit_bits)
    run_length = book.shape[1]
    n_runs = group_size // run_length
    highest, step = np.float32(2 * n_levels - 1), np.float32(trial_step)
    every_run = (1 << n_runs) - 1
    finish_always, finish_all = finish is Finish.ALL, finish is not Finish.OUTSIDE

    @device
    def products(x: Any, weights: Any, codes: Any) -> Any:
        """The sums of weight * x * level and of weight * level * level."""
        sum_lx, sum_l2 = _ZERO, _ZERO
        for run in range(n_runs):
            code = codes[run]
            for i in range(run_length):
                level, place = book[code, i], run * run_length + i
                sum_lx += weights[place] * x[place] * level
                sum_l2 += weights[place] * level * level
        return sum_lx, sum_l2

    @device
    def search(table: int, x_address: int, weights_address: int, largest: Any, scale: Any, out: int) -> Any:
        runs, codes, trial = i32(table, _UNBOUNDED), i64(out, n_runs), i64(stack_memory(64), n_runs)
        x, weights, roots = f32(x_address, 32), f32(weights_address, 32), f32(stack_memory(128), 32)
        for i in range(group_size):
            roots[i] = np.sqrt(weights[i])
        for run in range(n_runs):
            codes[run] = 0
        best, outside = _ZERO, every_run if finish_all else 0
        for k in range(-n_trials, n_trials + 1):
            inverse = (highest + np.float32(k) * step) / largest
            trial_scale = _ONE / inverse
            trial_outside = 0
            for run in range(n_runs):
                trial[run], inside = find_run(runs, x, roots, run * run_length, inverse, trial_scale)
                trial_outside |= (0 if inside else 1) << run
            sum_lx, sum_l2 = products(x, weights, trial)
            if sum_l2 > _ZERO and sum_lx * sum_lx > best * sum_l2:
                scale = sum_lx / sum_l2
                best = scale * sum_lx
                outside = trial_outside
                for run in range(n_runs):
                    codes[run] = trial[run]
        if (outside or finish_always) and scale > _ZERO:
            inverse = _ONE / scale
            for run in range(n_runs):
                if finish_all or (outside >> run) & 1:
                    codes[run], _ = find_run(runs, x, roots, run * run_length, inverse, scale)
            sum_lx, sum_l2 = products(x, weights, codes)
            if sum_l2 > _ZERO:
                scale = sum_lx / sum_l2
        return scale

    return search
