"""Operations on each element, or each row, alone."""

from typing import Any

import numpy as np

from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i32, i64
from pyggml_kernels.simd.exponential import exponential
from pyggml_kernels.simd.floats import load_some, store_some
from pyggml_kernels.simd.rows import load_floats, opposite
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import store_floats

N_ARGUMENTS = 6

_ONE = np.float32(1)


@kernel
def add(arguments: int, chunk: int, worker: int) -> None:
    """out = a + b. Arguments: 0 a, 1 b, 2 out, all f32 (n,), 3 n, 4 elements per chunk."""
    a = i64(arguments, N_ARGUMENTS)
    first = chunk * a[4]
    n = min(a[3] - first, a[4])
    left, right, out = f32(a[0] + first * 4, n), f32(a[1] + first * 4, n), f32(a[2] + first * 4, n)
    for i in range(n):
        out[i] = left[i] + right[i]


@device
def _swish(gate: Any) -> Any:
    """gate / (1 + exp(-gate))."""
    return gate / (exponential(opposite(gate)) + _ONE)


@kernel
def swiglu(arguments: int, chunk: int, worker: int) -> None:
    """out = gate / (1 + exp(-gate)) * up (Shazeer, 2020, arXiv:2002.05202).

    Arguments: 0 gate, 1 up, 2 out, all f32 (n,), 3 n, 4 elements per chunk.
    """
    a = i64(arguments, N_ARGUMENTS)
    first, end = chunk * a[4], min(a[3], (chunk + 1) * a[4])
    whole = end - (end - first) % TILE_ROWS
    for i in range(first, whole, TILE_ROWS):
        store_floats(a[2] + i * 4, _swish(load_floats(a[0] + i * 4)) * load_floats(a[1] + i * 4))
    gate, up = load_some(a[0] + whole * 4, end - whole), load_some(a[1] + whole * 4, end - whole)
    store_some(a[2] + whole * 4, _swish(gate) * up, end - whole)


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
