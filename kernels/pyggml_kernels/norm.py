"""Root mean square normalization (Zhang and Sennrich, 2019, arXiv:1910.07467)."""

import math
from typing import Any

import numpy as np

from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f64, i64
from pyggml_kernels.simd.floats import as_doubles, first_lane, load_some, store_some, sum_of_lanes
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import store_floats

N_ARGUMENTS = 7


@device
def _sum_of_squares(x: int, n: int) -> Any:
    """Of `n` floats, each square rounded to a float, their sum in double."""
    rest = n % TILE_ROWS
    last = load_some(x + (n - rest) * 4, rest)
    total: Any = as_doubles(last * last)
    for i in range(0, n - rest, TILE_ROWS):
        values = load_floats(x + i * 4)
        total = total + as_doubles(values * values)
    return first_lane(sum_of_lanes(total))


@kernel
def rms_norm(arguments: int, chunk: int, worker: int) -> None:
    """out = x / sqrt(mean(x^2) + epsilon) * weight, a row at a time; the sum of squares in double, as in ggml.

    Arguments: 0 x f32 (n_rows, n_columns), 1 n_rows, 2 n_columns, 3 weight f32 (n_columns,), 4 epsilon (double),
    5 out f32 (n_rows, n_columns), 6 rows per chunk.
    """
    a = i64(arguments, N_ARGUMENTS)
    epsilon = np.float32(f64(arguments, N_ARGUMENTS)[4])
    n = a[2]
    rest = n % TILE_ROWS
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        x, out = a[0] + row * n * 4, a[5] + row * n * 4
        mean = np.float32(_sum_of_squares(x, n) / n)
        scale = np.float32(1.0) / np.float32(math.sqrt(mean + epsilon))
        for i in range(0, n - rest, TILE_ROWS):
            store_floats(out + i * 4, load_floats(x + i * 4) * scale * load_floats(a[3] + i * 4))
        last = (n - rest) * 4
        store_some(out + last, load_some(x + last, rest) * scale * load_some(a[3] + last, rest), rest)
