"""Operations on rows of floats."""

import numpy as np

from pyggml_cuda.launch import INT, LONG, POINTER, KernelName, Launch, blocks


def select_rows(x: int, rows: int, out: int, n_rows: int, n_columns: int) -> Launch:
    """out[i] = x[rows[i]] for `n_rows` numbers at the address `rows`."""
    arguments = (POINTER(x), POINTER(rows), POINTER(out), INT(n_columns))
    return Launch(KernelName("rows.cu", "select_rows"), (n_rows, 1, 1), 256, tuple(map(np.asarray, arguments)))


def add(left: int, right: int, out: int, n: int) -> Launch:
    """out = left + right, `n` elements."""
    arguments = (POINTER(left), POINTER(right), POINTER(out), LONG(n))
    return Launch(KernelName("rows.cu", "add"), (blocks(n, 256), 1, 1), 256, tuple(map(np.asarray, arguments)))
