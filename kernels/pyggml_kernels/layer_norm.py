"""Layer normalization (Ba, Kiros and Hinton, 2016, arXiv:1607.06450)."""

import math

import numpy as np

from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, f64, i64

N_ARGUMENTS = 8


@kernel
def layer_norm(arguments: int, chunk: int, worker: int) -> None:
    """out = (x - mean) / sqrt(variance + epsilon) * weight + bias, a row at a time; the sums in double.

    Arguments: 0 x f32 (n_rows, n_columns), 1 n_rows, 2 n_columns, 3 weight f32 (n_columns,), 4 epsilon (double),
    5 out f32 (n_rows, n_columns), 6 rows per chunk, 7 bias f32 (n_columns,).
    """
    a = i64(arguments, N_ARGUMENTS)
    epsilon = np.float32(f64(arguments, N_ARGUMENTS)[4])
    n = a[2]
    weight, bias = f32(a[3], n), f32(a[7], n)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        x, out = f32(a[0] + row * n * 4, n), f32(a[5] + row * n * 4, n)
        total = 0.0
        for i in range(n):
            total += np.float64(x[i])
        mean = np.float32(total / n)
        total = 0.0
        for i in range(n):
            total += np.float64((x[i] - mean) * (x[i] - mean))
        scale = np.float32(1.0) / np.float32(math.sqrt(np.float32(total / n) + epsilon))
        for i in range(n):
            out[i] = (x[i] - mean) * scale * weight[i] + bias[i]
