"""Activations as ggml gives them to a matrix product: quantized in blocks, or rounded through a 16-bit float.

The numbers are those of ggml's CPU backend on x86 (its `from_float`), which for Q8_0 and Q8_1 is not what
`quantize_row_*_ref` makes of weights: it multiplies by 127 / max instead of 1 / (max / 127) and rounds halves to even.
One level in some 300,000 differs, enough to be seen in logits. The layout is ours, made for one product that fits all
formats: levels, scales and sums in arrays of their own, with a sum for each group of the weights' format. A chunk is
some rows.

Arguments, common to all kernels:
 0 x              f32 (n_rows, n_columns), finite; n_columns a whole number of blocks
 1 n_rows
 2 n_columns
 3 levels         int8 (n_rows, n_columns); `round_*`: out, f32 (n_rows, n_columns)
 4 scales         f32 (n_rows, n_columns / block size)
 5 shifts         f32 (n_rows, n_columns / 32): scaled sums of blocks; written by `quantize_q8_1` only
 6 sums           i16 (n_rows, n_columns / group_size): sums of the levels of groups
 7 group_size     16 or 32; for `quantize_q8_1` 32
 8 rows_per_chunk

A NaN or an infinity among the activations of a block makes its scales NaN or infinite, so that no product hides it.
"""

from typing import Any

import numpy as np

from pyggml_kernels.formats.bf16 import bfloat_to_float, float_to_bfloat
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import bits_float, f32, float_bits, float_to_half, half_to_float, i8, i16, i64

N_ARGUMENTS = 9

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITY = np.int32(0x7F800000)
#: 1.5 * 2**23: a small number added to it is rounded to an integer, in the low bits of the sum.
_TO_INTEGER = np.float32(12582912)
_INTEGER_BITS = np.int32(0x007FFFFF)
_INTEGER_OFFSET = np.int32(0x00400000)


@device
def _magnitude(x: Any) -> Any:
    """The bits of |x| as an integer, which orders like the number."""
    return np.int32(float_bits(x) & _MAGNITUDE)


@device
def _largest_magnitude(x: Any, n: int) -> Any:
    """The largest of the magnitudes of `n` numbers, as an integer."""
    largest = np.int32(0)
    for i in range(n):
        largest = max(largest, _magnitude(x[i]))
    return largest


@device
def _nearest_even(x: Any) -> Any:
    """The nearest integer, halves to even, of a number below 2**22."""
    return np.int32(np.int32(float_bits(x + _TO_INTEGER)) & _INTEGER_BITS) - _INTEGER_OFFSET


@device
def _through_half(x: Any) -> Any:
    return half_to_float(float_to_half(x))


@device
def quantize_32(x: Any, levels: Any, n: int) -> Any:
    """Write the levels of a block of `n` = 32 numbers, return its unrounded scale.

    `n` is no constant: a loop of known 32 LLVM would unroll into scalar code instead of vectorizing it.
    """
    largest = bits_float(np.uint32(_largest_magnitude(x, n)))
    inverse = np.float32(127) / largest
    # The inverse of a tiny block overflows; its scale is 0 as a half, so its levels are of no account.
    if _magnitude(inverse) >= _INFINITY:
        inverse = np.float32(0)
    for i in range(n):
        levels[i] = np.int8(_nearest_even(x[i] * inverse))
    return largest / np.float32(127)


@device
def _sum_groups(levels: Any, n: int, group_size: int, sums: int) -> None:
    """The sums of the groups of `n` levels."""
    out = i16(sums, n // group_size)
    for group in range(n // group_size):
        total = np.int32(0)
        for i in range(group_size):
            total += np.int32(levels[group * group_size + i])
        out[group] = total


@kernel
def quantize_q8_0(arguments: int, chunk: int, worker: int) -> None:
    """Blocks of 32: d = max |x| / 127, levels x * (127 / max |x|) to nearest even, scale d rounded to a half."""
    a = i64(arguments, N_ARGUMENTS)
    group_size = a[7]
    first, last = chunk * a[8] * a[2], min(a[1], (chunk + 1) * a[8]) * a[2]
    for start in range(first, last, 32):
        levels = i8(a[3] + start, 32)
        d = quantize_32(f32(a[0] + start * 4, 32), levels, 32 // group_size * group_size)
        f32(a[4] + start // 32 * 4, 1)[0] = _through_half(d)
        _sum_groups(levels, 32, group_size, a[6] + start // group_size * 2)


@kernel
def quantize_q8_1(arguments: int, chunk: int, worker: int) -> None:
    """As `quantize_q8_0`, with shifts d * (sum of the block's levels) rounded to halves."""
    a = i64(arguments, N_ARGUMENTS)
    group_size = a[7]
    first, last = chunk * a[8] * a[2], min(a[1], (chunk + 1) * a[8]) * a[2]
    for start in range(first, last, 32):
        levels, block = i8(a[3] + start, 32), start // 32
        d = quantize_32(f32(a[0] + start * 4, 32), levels, group_size)
        _sum_groups(levels, 32, group_size, a[6] + block * 2)
        f32(a[4] + block * 4, 1)[0] = _through_half(d)
        f32(a[5] + block * 4, 1)[0] = _through_half(np.float32(i16(a[6] + block * 2, 1)[0]) * d)


@device
def _first_of_magnitude(x: Any, magnitude: Any) -> Any:
    """The first of 256 numbers whose magnitude that is."""
    for i in range(256):
        if _magnitude(x[i]) == magnitude:
            return x[i]
    return np.float32(0)


@kernel
def quantize_q8_k(arguments: int, chunk: int, worker: int) -> None:
    """Blocks of 256: d = -m / 127 where m is the first x of the largest magnitude, levels x / d to nearest even."""
    a = i64(arguments, N_ARGUMENTS)
    group_size = a[7]
    first, last = chunk * a[8] * a[2], min(a[1], (chunk + 1) * a[8]) * a[2]
    for start in range(first, last, 256):
        x, levels = f32(a[0] + start * 4, 256), i8(a[3] + start, 256)
        inverse, d = np.float32(0), np.float32(0)
        largest = _largest_magnitude(x, 256)
        if largest:
            inverse = np.float32(-127) / _first_of_magnitude(x, largest)
            d = np.float32(1) / inverse
        for i in range(256):
            levels[i] = np.int8(min(np.int32(127), _nearest_even(x[i] * inverse)))
        f32(a[4] + start // 256 * 4, 1)[0] = d
        _sum_groups(levels, 256, group_size, a[6] + start // group_size * 2)


@kernel
def round_f16(arguments: int, chunk: int, worker: int) -> None:
    """Floats rounded to halves, as floats."""
    a = i64(arguments, N_ARGUMENTS)
    first, last = chunk * a[8] * a[2], min(a[1], (chunk + 1) * a[8]) * a[2]
    x, out = f32(a[0] + first * 4, last - first), f32(a[3] + first * 4, last - first)
    for i in range(last - first):
        out[i] = _through_half(x[i])


@kernel
def round_bf16(arguments: int, chunk: int, worker: int) -> None:
    """Floats rounded to BF16 numbers, as floats."""
    a = i64(arguments, N_ARGUMENTS)
    first, last = chunk * a[8] * a[2], min(a[1], (chunk + 1) * a[8]) * a[2]
    x, out = f32(a[0] + first * 4, last - first), f32(a[3] + first * 4, last - first)
    for i in range(last - first):
        out[i] = bfloat_to_float(float_to_bfloat(x[i]))
