"""The largest numbers of rows and where they stand: most samplers need no more of the logits."""

from typing import Any

import numpy as np

from pyggml_cuda.launch import INT, POINTER, KernelName, Launch, blocks

#: The most that are found of a row, and the longest row.
MAX_KEPT, MAX_COLUMNS = 256, 1 << 18
_GROUP, _BLOCK_GROUPS, _N_THREADS = 32, 32, 1024


def maxima_bytes(n_rows: int, n_columns: int) -> int:
    """Bytes of the maxima of all groups."""
    return 4 * n_rows * blocks(n_columns, _GROUP)


def group_maxima(x: int, maxima: int, n_rows: int, n_columns: int) -> Launch:
    """Write the maxima of the groups of x (n_rows, n_columns) floats, for `largest`."""
    n_groups = blocks(n_columns, _GROUP)
    grid = (blocks(n_groups, _BLOCK_GROUPS), n_rows, 1)
    return _launch("group_maxima", grid, 256, (POINTER(x), POINTER(maxima), INT(n_columns), INT(n_groups)))


def largest(x: int, maxima: int, values: int, places: int, n_rows: int, n_columns: int, n_kept: int) -> Launch:
    """values and places (n_rows, n_kept) = the largest of each row of x (n_rows, n_columns), from the largest down.

    NaN comes first, -0 behind 0, equal numbers in the order of their places.
    """
    addresses = POINTER(x), POINTER(maxima), POINTER(values), POINTER(places)
    sizes = INT(n_columns), INT(blocks(n_columns, _GROUP)), INT(n_kept)
    return _launch("largest", (n_rows, 1, 1), _N_THREADS, (*addresses, *sizes), 8 * MAX_KEPT * _GROUP)


def _launch(name: str, grid: tuple[int, int, int], block: int, arguments: Any, shared_bytes: int = 0) -> Launch:
    return Launch(KernelName("largest.cu", name), grid, block, tuple(map(np.asarray, arguments)), shared_bytes)
