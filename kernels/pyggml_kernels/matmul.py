"""Matrix product: out[token, row] = sum over columns of weights[row, column] * x[token, column], plus a bias.

A chunk is a few rows of the weights, decoded in the worker's scratch memory and then multiplied with every token, so
that decoding is shared by a batch. For more than a few tokens 16 rows are rearranged as a tile, whose rows are the
lanes of vector instructions. What a row and a token give depends on nothing else: neither on the batch around them nor
on the chunk.

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
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, i8, i32, i64, u8, u32
from pyggml_kernels.rounding import multiply_add
from pyggml_kernels.simd import (
    TILE_ROWS,
    TILE_TOKENS,
    multiply_floats_4_1,
    multiply_floats_4_4,
    multiply_four_rows_16,
    multiply_four_rows_16_with_minimums,
    multiply_four_rows_32,
    multiply_four_rows_32_with_minimums,
    multiply_tile_16,
    multiply_tile_16_with_minimums,
    multiply_tile_32,
    multiply_tile_32_with_minimums,
    sum_bytes,
)

N_ARGUMENTS = 18
#: Rows of floats that are decoded at once.
FLOAT_ROWS = 16
#: Columns whose products are summed up before they join the total.
_SUM_COLUMNS = 256
#: Tokens from which on it pays to rearrange the weights for vector instructions.
_MIN_TILE_TOKENS = 3


def scratch_bytes_levels(n_columns: int, group_size: int) -> int:
    """Bytes of scratch one worker needs for `matmul_levels`: 16 rows twice, in both arrangements, and 6 tokens."""
    n_groups = n_columns // group_size
    return TILE_ROWS * (2 * n_columns + 5 * 4 * n_groups) + TILE_TOKENS * (n_columns + 2 * 4 * n_groups + 4 * TILE_ROWS)


def scratch_bytes_floats(n_columns: int) -> int:
    """Bytes of scratch one worker needs for `matmul_floats`: 16 rows as floats, and a few results."""
    return FLOAT_ROWS * 4 * n_columns + 4 * 4 * 4


@device
def _interleave(levels: int, n_columns: int, tile: int) -> None:
    """Sixteen rows of bytes, rearranged so that four columns of all rows lie together."""
    n = n_columns // 4
    source, target = u32(levels, TILE_ROWS * n), u32(tile, TILE_ROWS * n)
    for column in range(n):
        for row in range(TILE_ROWS):
            target[column * TILE_ROWS + row] = source[row * n + column]


@device
def _transpose(rows: int, n_rows: int, n: int, out: int) -> None:
    """Rows of `n` floats, column by column."""
    source, target = f32(rows, n_rows * n), f32(out, n_rows * n)
    for column in range(n):
        for row in range(n_rows):
            target[column * n_rows + row] = source[row * n + column]


@device
def _sum_groups(x: int, n_groups: int, group_size: int, out: int) -> None:
    """-128 times the sum of each group of signed bytes."""
    levels, sums = i8(x, n_groups * group_size), i32(out, n_groups)
    for group in range(n_groups):
        total = np.int32(0)
        for i in range(group_size):
            total += np.int32(levels[group * group_size + i])
        sums[group] = np.int32(-128) * total


@device
def _make_unsigned(x: int, n: int, out: int) -> None:
    """Signed bytes plus 128."""
    source, target = u8(x, n), u8(out, n)
    for i in range(n):
        target[i] = source[i] ^ np.uint8(128)


@device
def _multiply_four_rows(
    a: Any, first: int, n: int, levels: int, scales: int, minimums: int, all_corrections: int, scratch: int
) -> None:
    """Four decoded rows times every token. Rows that are not there are multiplied, too, and their results forgotten."""
    n_columns, group_size, per_block = a[3], a[16], _SUM_COLUMNS // a[16]
    n_groups = n_columns // group_size
    s, m, result = scratch, scratch + 16 * n_groups, scratch + 32 * n_groups
    _transpose(scales, 4, n_groups, s)
    if a[17]:
        _transpose(minimums, 4, n_groups, m)
    for token in range(a[5]):
        x, x_scales, x_sums = a[12] + token * n_columns, a[13] + token * n_groups * 4, a[14] + token * n_groups * 4
        corrections = all_corrections + token * n_groups * 4
        if group_size == 32 and a[17]:
            multiply_four_rows_32_with_minimums(
                levels, n_columns, s, m, x, corrections, x_scales, x_sums, n_groups, per_block, result
            )
        elif group_size == 32:
            multiply_four_rows_32(
                levels, n_columns, s, m, x, corrections, x_scales, x_sums, n_groups, per_block, result
            )
        elif a[17]:
            multiply_four_rows_16_with_minimums(
                levels, n_columns, s, m, x, corrections, x_scales, x_sums, n_groups, per_block, result
            )
        else:
            multiply_four_rows_16(
                levels, n_columns, s, m, x, corrections, x_scales, x_sums, n_groups, per_block, result
            )
        _copy(result, n, a[6] + (token * a[7] + first) * 4)


@device
def _multiply_tile(a: Any, first: int, n: int, tile: int, n_steps: int) -> None:
    """A tile times every token, six at a time. Scratch behind the tile: scales, minimums, corrections, then tokens."""
    n_columns, group_size, per_block = a[3], a[16], _SUM_COLUMNS // a[16]
    n_groups = n_columns // group_size
    scales = tile + TILE_ROWS * n_columns
    minimums, corrections = scales + TILE_ROWS * n_groups * 4, scales + 2 * TILE_ROWS * n_groups * 4
    x = scales + 3 * TILE_ROWS * n_groups * 4
    x_scales = x + TILE_TOKENS * n_columns
    x_sums, result = x_scales + TILE_TOKENS * n_groups * 4, x_scales + 2 * TILE_TOKENS * n_groups * 4
    for group in range(n_groups):
        sum_bytes(tile + group * n_steps * 64, n_steps, corrections + group * TILE_ROWS * 4)
    for start in range(0, a[5], TILE_TOKENS):
        n_tokens = min(a[5] - start, TILE_TOKENS)
        # What is left of the last tokens' place is multiplied, too, and its result forgotten.
        _make_unsigned(a[12] + start * n_columns, n_tokens * n_columns, x)
        _copy(a[13] + start * n_groups * 4, n_tokens * n_groups, x_scales)
        if a[17]:
            _copy(a[14] + start * n_groups * 4, n_tokens * n_groups, x_sums)
        if group_size == 32 and a[17]:
            multiply_tile_32_with_minimums(
                tile,
                scales,
                minimums,
                corrections,
                x,
                n_columns,
                x_scales,
                x_sums,
                n_groups * 4,
                n_groups,
                per_block,
                result,
            )
        elif group_size == 32:
            multiply_tile_32(
                tile,
                scales,
                minimums,
                corrections,
                x,
                n_columns,
                x_scales,
                x_sums,
                n_groups * 4,
                n_groups,
                per_block,
                result,
            )
        elif a[17]:
            multiply_tile_16_with_minimums(
                tile,
                scales,
                minimums,
                corrections,
                x,
                n_columns,
                x_scales,
                x_sums,
                n_groups * 4,
                n_groups,
                per_block,
                result,
            )
        else:
            multiply_tile_16(
                tile,
                scales,
                minimums,
                corrections,
                x,
                n_columns,
                x_scales,
                x_sums,
                n_groups * 4,
                n_groups,
                per_block,
                result,
            )
        for token in range(n_tokens):
            _copy(result + token * TILE_ROWS * 4, n, a[6] + ((start + token) * a[7] + first) * 4)


@device
def _copy(source: int, n: int, target: int) -> None:
    """Copy floats."""
    x, out = f32(source, n), f32(target, n)
    for i in range(n):
        out[i] = x[i]


@device
def _add_bias(a: Any, first: int, n: int) -> None:
    bias = f32(a[8] + first * 4, n)
    for token in range(a[5]):
        out = f32(a[6] + (token * a[7] + first) * 4, n)
        for row in range(n):
            out[row] += bias[row]


@device
def _decode_rows(a: Any, first: int, n: int, levels: int, scales: int, minimums: int) -> None:
    """Rows as levels, scales and minimums, one row behind the other."""
    n_groups = a[3] // a[16]
    for row in range(n):
        call_decode(
            a[4],
            a[0] + (first + row) * a[1],
            a[3] // a[15],
            levels + row * a[3],
            scales + row * n_groups * 4,
            minimums + row * n_groups * 4,
        )


@kernel
def matmul_levels(arguments: int, chunk: int, worker: int) -> None:
    """Rows of a `LevelFormat` times activations quantized in the same groups."""
    a = i64(arguments, N_ARGUMENTS)
    n_columns, group_size = a[3], a[16]
    n_groups = n_columns // group_size
    levels = a[10] + worker * a[11]
    scales = levels + TILE_ROWS * n_columns
    minimums = scales + TILE_ROWS * n_groups * 4
    tile = minimums + TILE_ROWS * n_groups * 4
    # Four rows stay in the first cache level from decoding to the only use that few tokens make of them.
    n_rows = 4 if a[5] < _MIN_TILE_TOKENS else TILE_ROWS
    corrections = tile + 33 * n_groups * 4
    if n_rows == 4:
        for token in range(a[5]):
            _sum_groups(a[12] + token * n_columns, n_groups, group_size, corrections + token * n_groups * 4)
    end = min(a[2], (chunk + 1) * a[9])
    for first in range(chunk * a[9], end, n_rows):
        n = min(end - first, n_rows)
        _decode_rows(a, first, n, levels, scales, minimums)
        if n_rows == 4:
            _multiply_four_rows(a, first, n, levels, scales, minimums, corrections, tile)
        else:
            # Rows that are not there are multiplied, too, and their results forgotten.
            _interleave(levels, n_columns, tile)
            _transpose(scales, TILE_ROWS, n_groups, tile + TILE_ROWS * n_columns)
            _transpose(minimums, TILE_ROWS, n_groups, tile + TILE_ROWS * (n_columns + n_groups * 4))
            _multiply_tile(a, first, n, tile, group_size // 4)
        if a[8]:
            _add_bias(a, first, n)


@device
def _add_last_columns(a: Any, first: int, n: int, weights: int) -> None:
    """The products of the columns behind the last whole run of 16."""
    n_columns = a[3]
    for token in range(a[5]):
        out = f32(a[6] + (token * a[7] + first) * 4, n)
        x = f32(a[12] + token * n_columns * 4, n_columns)
        for row in range(n):
            w = f32(weights + row * n_columns * 4, n_columns)
            for column in range(n_columns // TILE_ROWS * TILE_ROWS, n_columns):
                out[row] = multiply_add(w[column], x[column], out[row])


@kernel
def matmul_floats(arguments: int, chunk: int, worker: int) -> None:
    """Rows of a `FloatFormat` times float activations, already rounded as the format's partner is."""
    a = i64(arguments, N_ARGUMENTS)
    row_bytes = a[3] * 4
    weights = a[10] + worker * a[11]
    result = weights + FLOAT_ROWS * row_bytes
    for first in range(chunk * a[9], min(a[2], (chunk + 1) * a[9]), FLOAT_ROWS):
        n = min(min(a[2], (chunk + 1) * a[9]) - first, FLOAT_ROWS)
        for row in range(n):
            call_convert(a[4], a[0] + (first + row) * a[1], a[3], weights + row * row_bytes)
        # Rows that are not there are multiplied, too, and their results forgotten.
        for row in range(0, n, 4):
            in_fours = a[5] // 4 * 4
            for token in range(0, in_fours, 4):
                x = a[12] + token * row_bytes
                multiply_floats_4_4(weights + row * row_bytes, row_bytes, x, row_bytes, a[3], result, 16)
                for i in range(4):
                    _copy(result + i * 16, min(n - row, 4), a[6] + ((token + i) * a[7] + first + row) * 4)
            for token in range(in_fours, a[5]):
                x = a[12] + token * row_bytes
                multiply_floats_4_1(weights + row * row_bytes, row_bytes, x, row_bytes, a[3], result, 16)
                _copy(result, min(n - row, 4), a[6] + (token * a[7] + first + row) * 4)
        _add_last_columns(a, first, n, weights)
        if a[8]:
            _add_bias(a, first, n)
