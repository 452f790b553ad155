"""What the quantizers of the K formats share: the walk over blocks, their workspace, and groups side by side."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.lanes import load_lanes, magnitude, square_root, store_lanes, zeros
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, i64, u8

#: Words of a quantizer's arguments, see `Format._quantizer`.
N_ARGUMENTS = 8
#: The workspace of a block, in bytes: four arrays of 256 floats, two of 256 bytes, and small arrays of 16 numbers.
X, WEIGHTS, LEVELS, TRIAL = 0, 1024, 2048, 3072
GROUPED_BYTES, LEVEL_BYTES = 4096, 4352
SCALES, MINIMUMS, SUMS, SCALE_LEVELS, MINIMUM_LEVELS = 4608, 4672, 4736, 4800, 4816
WORKSPACE_BYTES = 4864


@device
def n_blocks_in_chunk(arguments: int, chunk: int) -> Any:
    """Blocks of 256 weights in the rows of a chunk."""
    a = i64(arguments, N_ARGUMENTS)
    return max(0, min(a[1], (chunk + 1) * a[6]) - chunk * a[6]) * (a[2] // 256)


@device
def block_addresses(arguments: int, chunk: int, index: int) -> Any:
    """Of a block of a chunk: its weights, their importance or 0, and where it goes."""
    a = i64(arguments, N_ARGUMENTS)
    n_blocks = a[2] // 256
    block = chunk * a[6] * n_blocks + index
    importance = a[5] + block % n_blocks * 1024 if a[5] else 0
    return a[0] + block * 1024, importance, a[3] + block * (a[4] // n_blocks)


@device
def put_side_by_side(source: int, out: int, n: int) -> None:
    """Floats (n_groups, n) of a block, transposed to (n, n_groups)."""
    n_groups = 256 // n
    numbers, transposed = f32(source, 256), f32(out, 256)
    for group in range(n_groups):
        for i in range(n):
            transposed[i * n_groups + group] = numbers[group * n + i]


@device
def put_in_order(source: int, out: int, n: int) -> None:
    """Bytes (n, n_groups) of a block, transposed to (n_groups, n)."""
    n_groups = 256 // n
    transposed, levels = u8(source, 256), u8(out, 256)
    for group in range(n_groups):
        for i in range(n):
            levels[group * n + i] = transposed[i * n_groups + group]


@device
def sum_of_squares(x: int) -> Any:
    """Of the 256 weights of a block, summed up in order."""
    numbers = f32(x, 256)
    total = np.float32(0)
    for i in range(256):
        total += numbers[i] * numbers[i]
    return total


@device
def weigh_by_importance(x: int, weights: int, n: int, like: Any, variance: Any) -> Any:
    """Turn importance into what weights count: times the root of `variance` + x * x. The sums over each group.

    Both operands lie side by side.
    """
    total = zeros(like)
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        each = load_lanes(x + offset, like)
        weight = load_lanes(weights + offset, like) * square_root(variance + each * each)
        store_lanes(weights + offset, weight)
        total = total + weight
    return total


@device
def weigh_by_magnitude(x: int, weights: int, n: int, like: Any) -> None:
    """Store what weights count: |x| and the root of the group's mean square."""
    total = zeros(like)
    stride = 1024 // n
    for offset in range(0, 1024, stride):
        each = load_lanes(x + offset, like)
        total = total + each * each
    mean = square_root(total / np.float32(n))
    for offset in range(0, 1024, stride):
        store_lanes(weights + offset, mean + magnitude(load_lanes(x + offset, like)))
