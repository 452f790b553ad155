"""Which runs of a code book are near to each run that could be: what the quantizers to code books choose from.

A run is a number of levels, 2 k + 1 for k from 0 up. A table has, for each number whose digits are such k, the code of
the run if it is in the book, else `-1 - place` of a list behind that: how many runs are near, then their codes, the
nearest first. Near are those at the smallest distances, as in ggml (`iq2xs_init_impl` and `iq3xs_init_impl` in
ggml-quants.c).
"""

import numpy as np
import numpy.typing as npt


def table_of_neighbours(
    book: npt.NDArray[np.float32], n_levels: int, digit_bits: int, n_distances: int
) -> npt.NDArray[np.int32]:
    """The table of a book (n_runs, run_length), with the runs at the `n_distances` smallest distances.

    Digits take `digit_bits` bits, the first the lowest. Numbers with a digit of `n_levels` or more have no entry.
    """
    run_length = book.shape[1]
    digits = np.indices((n_levels,) * run_length, np.int32).reshape(run_length, -1).T
    numbers = (digits << (digit_bits * np.arange(run_length))).sum(axis=-1)
    runs = book.astype(np.int32)
    codes = {tuple(run): code for code, run in enumerate(((runs - 1) // 2).tolist())}
    table = np.full(1 << (digit_bits * run_length), -1, np.int32)
    lists: list[npt.NDArray[np.int32]] = []
    place = 0
    for number, run in zip(numbers, digits, strict=True):
        code = codes.get(tuple(run.tolist()))
        if code is not None:
            table[number] = code
            continue
        distances = ((runs - (2 * run + 1)) ** 2).sum(axis=-1)
        near = np.flatnonzero(distances <= np.unique(distances)[:n_distances][-1])
        near = near[np.argsort(distances[near], kind="stable")]
        table[number] = -1 - place
        lists.append(np.array([len(near), *near], np.int32))
        place += len(near) + 1
    return np.concatenate([table, *lists])
