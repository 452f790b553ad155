"""Rows of the embedding table, decoded."""

import numpy as np

from pyggml_kernels.calls import call_convert, call_decode
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, i8, i32, i64

N_ARGUMENTS = 10


def scratch_bytes(n_columns: int, group_size: int) -> int:
    """Bytes of scratch one worker needs for `embed_levels`: a row's levels, scales and minimums."""
    return n_columns + 8 * (n_columns // group_size)


@kernel
def embed_floats(arguments: int, chunk: int, worker: int) -> None:
    """out[i] = table[tokens[i]] for a `FloatFormat`; a token a chunk.

    Arguments: 0 table, 1 row_bytes, 2 tokens i32, 3 n_columns, 4 out f32 (n, n_columns), 5 the format's `load`.
    """
    a = i64(arguments, N_ARGUMENTS)
    token = i32(a[2] + chunk * 4, 1)[0]
    call_convert(a[5], a[0] + token * a[1], a[3], a[4] + chunk * a[3] * 4)


@kernel
def embed_levels(arguments: int, chunk: int, worker: int) -> None:
    """out[i] = table[tokens[i]] for a `LevelFormat`; a token a chunk.

    Arguments: as `embed_floats`, with 5 the format's `decode`, 6 block_size, 7 group_size, 8 scratch of all workers,
    9 bytes of one worker's: levels, then scales, then minimums of one row.
    """
    a = i64(arguments, N_ARGUMENTS)
    token = i32(a[2] + chunk * 4, 1)[0]
    n_columns, group_size = a[3], a[7]
    n_groups = n_columns // group_size
    scratch = a[8] + worker * a[9]
    levels, scales = i8(scratch, n_columns), f32(scratch + n_columns, n_groups)
    minimums = f32(scratch + n_columns + n_groups * 4, n_groups)
    call_decode(
        a[5],
        a[0] + token * a[1],
        n_columns // a[6],
        scratch,
        scratch + n_columns,
        scratch + n_columns + n_groups * 4,
    )
    out = f32(a[4] + chunk * n_columns * 4, n_columns)
    for i in range(n_columns):
        out[i] = scales[i // group_size] * np.float32(levels[i]) - minimums[i // group_size]


@kernel
def place_rows(arguments: int, chunk: int, worker: int) -> None:
    """x[i] = given[rows[i]] where that is not below 0; a token a chunk.

    Arguments: 0 x f32 (n, n_columns), 1 rows i32 (n,), 2 given f32 (any, n_columns), 3 n_columns.
    """
    a = i64(arguments, N_ARGUMENTS)
    n, row = a[3], np.int64(i32(a[1] + chunk * 4, 1)[0])
    if row >= 0:
        x, given = f32(a[0] + chunk * n * 4, n), f32(a[2] + row * n * 4, n)
        for i in range(n):
            x[i] = given[i]
