"""The search for the scale of a group whose weights are runs from a code book.

Levels are 2 k + 1, k from 0 up; signs are kept apart. Every float operation is in the order of ggml's
(`quantize_row_iq3_s_impl` and its like in ggml-quants.c).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.block_scales import nearest
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, i32, i64

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
#: A table's length is not passed; indices are those that it has itself.
_UNBOUNDED = 1 << 40
_LARGEST_FLOAT = np.finfo(np.float32).max


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
    finish_all: bool,
) -> Any:
    """`(table, x, weights, roots, largest, codes)`: stores the codes of a group's runs, returns the scale.

    The first four are addresses: of a table of `book_neighbours`, of weights, mostly positive, of what errors count and
    of the roots of that. Trials map `largest`, the largest weight, to the highest level and up to `n_trials` steps more
    or less. At the end runs that were not in the book, or all of them if there were any and with `finish_all`, are
    chosen again for the scale that was found.
    """
    find_run = _run_finder(book, n_levels, digit_bits)
    run_length = book.shape[1]
    n_runs = group_size // run_length
    highest, step = np.float32(2 * n_levels - 1), np.float32(trial_step)

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
    def search(table: int, x_address: int, weights_address: int, roots_address: int, largest: Any, out: int) -> Any:
        runs, codes, trial = i32(table, _UNBOUNDED), i64(out, n_runs), i64(stack_memory(64), n_runs)
        x, weights, roots = f32(x_address, 32), f32(weights_address, 32), f32(roots_address, 32)
        best, scale = _ZERO, largest / highest
        for run in range(n_runs):
            codes[run] = 0
        outside = (1 << n_runs) - 1 if finish_all else 0
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
        if outside and scale > _ZERO:
            inverse = _ONE / scale
            for run in range(n_runs):
                if finish_all or (outside >> run) & 1:
                    codes[run], _ = find_run(runs, x, roots, run * run_length, inverse, scale)
            sum_lx, sum_l2 = products(x, weights, codes)
            if sum_l2 > _ZERO:
                scale = sum_lx / sum_l2
        return scale

    return search
