"""The books of the IQ2 formats as their quantizers search them: levels 1, 3 and 5 for magnitudes 8, 25 and 43."""

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.book_neighbours import table_of_neighbours

N_LEVELS, DIGIT_BITS = 3, 2


def book_of(grid: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
    """The levels (n_runs, 8) of a grid of `iq_grids`."""
    return (grid.astype("<u8").view(np.uint8).reshape(-1, 8) // 16 * 2 + 1).astype(np.float32)


def neighbours_in(book: npt.NDArray[np.float32], n_distances: int) -> npt.NDArray[np.int32]:
    """The table of near runs for a book."""
    return table_of_neighbours(book, N_LEVELS, DIGIT_BITS, n_distances)
