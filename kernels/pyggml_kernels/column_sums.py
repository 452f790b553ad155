"""Sums over the rows of a matrix, column by column."""

from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, i64

N_ARGUMENTS = 7


@kernel
def add_columns(arguments: int, chunk: int, worker: int) -> None:
    """sums += x, squares += x^2, row after row, rounded to float each time; the first chunk counts the rows.

    Arguments: 0 x f32 (n_rows, n_columns), 1 n_rows, 2 n_columns, 3 sums f32 (n_columns,), 4 squares f32 (n_columns,),
    5 count i64 (1,), 6 columns per chunk.
    """
    a = i64(arguments, N_ARGUMENTS)
    n_columns, first = a[2], chunk * a[6]
    n = min(n_columns - first, a[6])
    sums, squares = f32(a[3] + first * 4, n), f32(a[4] + first * 4, n)
    for row in range(a[1]):
        x = f32(a[0] + (row * n_columns + first) * 4, n)
        for i in range(n):
            sums[i] += x[i]
            squares[i] += x[i] * x[i]
    if chunk == 0:
        i64(a[5], 1)[0] += a[1]
