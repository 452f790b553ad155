"""The runs of a group of IQ1_S or IQ1_M, and the scale that fits them, for the way to split it that was found.

`downs` has bit i set if run i of the group is shifted down.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.iq1_book import RUNS, add_products, nearest_run
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.jit import device
from pyggml_kernels.memory import u8

_ZERO, _ONE, _EIGHTH = np.float32(0), np.float32(1), np.float32(0.125)


@device
def shift_of(downs: int, run: int) -> Any:
    """The shift of one run of a group."""
    return -_EIGHTH if (downs >> run) & 1 else _EIGHTH


@device
def _write_digits(order: int, n: int, first: int, second: int, turned: bool, digits: Any) -> None:
    """The digits of `n` weights (see `iq1_book`) split at two places of their order; 2 for 0 if turned."""
    places = u8(order, n)
    low, high = (2, 0) if turned else (0, 2)
    for i in range(n):
        digits[np.int64(places[i])] = low if i < first else high if i >= second else 1


@device
def _number_of(digits: Any, start: int) -> Any:
    """Eight digits as one number."""
    number = 0
    for i in range(8):
        number |= int(digits[start + i]) << (2 * i)
    return number


@device
def choose_runs(
    x: int, weights: int, order: int, n: int, first: int, second: int, downs: int, scale: Any, table: int, codes: Any
) -> Any:
    """Write the codes of the runs of `n` weights, split at two places of their order; the scale and `downs`.

    A scale below zero turns all levels and shifts. Where a run is not in the book, the scale is fitted anew.
    """
    digits, n_runs = u8(stack_memory(32), n), n // 8
    turned = scale < _ZERO
    if turned:
        scale, downs = -scale, (1 << n_runs) - 1 - downs
    _write_digits(order, n, first, second, turned, digits)
    all_inside = True
    for run in range(n_runs):
        start, number = run * 32, _number_of(digits, run * 8)
        codes[run], inside = nearest_run(table, number, x + start, weights + start, scale, shift_of(downs, run))
        all_inside = all_inside and inside
    if not all_inside:
        sum_lx, sum_l2 = _ZERO, _ZERO
        for run in range(n_runs):
            start, number = run * 32, RUNS[codes[run]]
            sum_lx, sum_l2 = add_products(
                x + start, weights + start, number, shift_of(downs, run), _ONE, sum_lx, sum_l2
            )
        if sum_lx > _ZERO and sum_l2 > _ZERO:
            scale = sum_lx / sum_l2
    return scale, downs
