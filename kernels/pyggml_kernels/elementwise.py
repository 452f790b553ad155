"""Operations on each element, or each row, alone."""

import math

import numpy as np

from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, i32, i64

N_ARGUMENTS = 6


@kernel
def add(arguments: int, chunk: int, worker: int) -> None:
    """out = a + b. Arguments: 0 a, 1 b, 2 out, all f32 (n,), 3 n, 4 elements per chunk."""
    a = i64(arguments, N_ARGUMENTS)
    first = chunk * a[4]
    n = min(a[3] - first, a[4])
    left, right, out = f32(a[0] + first * 4, n), f32(a[1] + first * 4, n), f32(a[2] + first * 4, n)
    for i in range(n):
        out[i] = left[i] + right[i]


@kernel
def swiglu(arguments: int, chunk: int, worker: int) -> None:
    """out = gate / (1 + exp(-gate)) * up (Shazeer, 2020, arXiv:2002.05202).

    Arguments: 0 gate, 1 up, 2 out, all f32 (n,), 3 n, 4 elements per chunk.
    """
    a = i64(arguments, N_ARGUMENTS)
    first = chunk * a[4]
    n = min(a[3] - first, a[4])
    gate, up, out = f32(a[0] + first * 4, n), f32(a[1] + first * 4, n), f32(a[2] + first * 4, n)
    for i in range(n):
        out[i] = gate[i] / (np.float32(1.0) + math.exp(-gate[i])) * up[i]


@kernel
def copy_rows(arguments: int, chunk: int, worker: int) -> None:
    """out[i] = x[rows[i]]; a row a chunk.

    Arguments: 0 x f32 (any, n_columns), 1 rows i32 (n,), 2 n, 3 n_columns, 4 out f32 (n, n_columns).
    """
    a = i64(arguments, N_ARGUMENTS)
    n = a[3]
    x = f32(a[0] + i32(a[1], a[2])[chunk] * n * 4, n)
    out = f32(a[4] + chunk * n * 4, n)
    for i in range(n):
        out[i] = x[i]
