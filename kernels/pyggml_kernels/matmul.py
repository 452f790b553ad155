"""Matrix product: out[token, row] = sum over columns of weights[row, column] * x[token, column], plus a bias.

A chunk is a few rows of the weights, decoded once into the worker's scratch memory and then multiplied with every
token, so that decoding is shared by a batch. What a row and a token give depends on nothing else: neither on the batch
around them nor on the chunk.

Arguments, common to both kernels:
 0 weights        address; rows follow each other
 1 row_bytes      bytes in a row of weights
 2 n_rows         rows of the weights, columns of the result
 3 n_columns      columns of the weights and of x
 4 decoder        address of the format's `decode` (levels) or `load` (floats)
 5 n_tokens       rows of x and of the result
 6 out            f32 (n_tokens, out_stride)
 7 out_stride     floats from one token's result to the next
 8 bias           f32 (n_rows,), or 0 for none
 9 rows_per_chunk rows of weights in a chunk
10 scratch        address of all workers' scratch
11 scratch_bytes  bytes of one worker's: see `scratch_bytes_levels` and `scratch_bytes_floats`
12 x              levels int8 or floats (n_tokens, n_columns)
13 x_scales       f32 (n_tokens, n_groups); levels only, like all that follow
14 x_sums         f32 (n_tokens, n_groups), read if there are minimums
15 block_size     weights in a block
16 group_size     weights in a group, 16 or 32
17 has_minimum    0 or 1
"""

from typing import Any

import numpy as np

from pyggml_kernels.calls import call_convert, call_decode
from pyggml_kernels.jit import device, fast_kernel
from pyggml_kernels.memory import f32, i64
from pyggml_kernels.simd import dot_16, dot_32

N_ARGUMENTS = 18


def scratch_bytes_levels(n_columns: int, group_size: int, rows_per_chunk: int) -> int:
    """Bytes of scratch one worker needs for `matmul_levels`: a chunk's levels, scales and minimums."""
    return rows_per_chunk * (n_columns + 8 * (n_columns // group_size))


def scratch_bytes_floats(n_columns: int, rows_per_chunk: int) -> int:
    """Bytes of scratch one worker needs for `matmul_floats`: a chunk's weights as floats."""
    return rows_per_chunk * 4 * n_columns


@device
def _dot_groups(levels: int, scales: Any, x: int, x_scales: Any, n_groups: int, group_size: int) -> Any:
    """Sum over groups of scale * x scale * (integer dot product), in double precision."""
    total = 0.0
    if group_size == 32:
        for group in range(n_groups):
            dot = dot_32(levels + group * 32, x + group * 32)
            total += np.float64(scales[group] * x_scales[group]) * np.float64(dot)
    else:
        for group in range(n_groups):
            dot = dot_16(levels + group * 16, x + group * 16)
            total += np.float64(scales[group] * x_scales[group]) * np.float64(dot)
    return total


@fast_kernel
def matmul_levels(arguments: int, chunk: int, worker: int) -> None:
    """Rows of a `LevelFormat` times activations quantized in the same groups."""
    a = i64(arguments, N_ARGUMENTS)
    n_columns, block_size, group_size = a[3], a[15], a[16]
    n_groups = n_columns // group_size
    first = chunk * a[9]
    n = min(a[2] - first, a[9])
    levels = a[10] + worker * a[11]
    scales = levels + a[9] * n_columns
    minimums = scales + a[9] * n_groups * 4
    for row in range(n):
        call_decode(
            a[4],
            a[0] + (first + row) * a[1],
            n_columns // block_size,
            levels + row * n_columns,
            scales + row * n_groups * 4,
            minimums + row * n_groups * 4,
        )
    for token in range(a[5]):
        out = f32(a[6] + (token * a[7] + first) * 4, n)
        x = a[12] + token * n_columns
        x_scales = f32(a[13] + token * n_groups * 4, n_groups)
        for row in range(n):
            row_scales = f32(scales + row * n_groups * 4, n_groups)
            total = _dot_groups(levels + row * n_columns, row_scales, x, x_scales, n_groups, group_size)
            if a[17]:
                x_sums = f32(a[14] + token * n_groups * 4, n_groups)
                row_minimums = f32(minimums + row * n_groups * 4, n_groups)
                for group in range(n_groups):
                    total -= np.float64(row_minimums[group]) * np.float64(x_sums[group])
            if a[8]:
                total += f32(a[8] + (first + row) * 4, 1)[0]
            out[row] = np.float32(total)


@fast_kernel
def matmul_floats(arguments: int, chunk: int, worker: int) -> None:
    """Rows of a `FloatFormat` times float activations, already rounded as the format's partner is."""
    a = i64(arguments, N_ARGUMENTS)
    n_columns = a[3]
    first = chunk * a[9]
    n = min(a[2] - first, a[9])
    weights = a[10] + worker * a[11]
    for row in range(n):
        call_convert(a[4], a[0] + (first + row) * a[1], n_columns, weights + row * n_columns * 4)
    for token in range(a[5]):
        out = f32(a[6] + (token * a[7] + first) * 4, n)
        x = f32(a[12] + token * n_columns * 4, n_columns)
        for row in range(n):
            w = f32(weights + row * n_columns * 4, n_columns)
            total = np.float32(0)
            for i in range(n_columns):
                total += w[i] * x[i]
            if a[8]:
                total += f32(a[8] + (first + row) * 4, 1)[0]
            out[row] = total
