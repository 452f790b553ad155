"""The Walsh-Hadamard rotation that ggml puts around a quantized cache: it spreads outliers over a head's numbers.

Queries and keys are rotated alike, so their dot products stay what they were; attention's result is rotated back. The
normalized transform is its own inverse.
"""

import math

import numpy as np

from pyggml_kernels.cache_formats import CacheFormat
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, i64

N_ARGUMENTS = 3


def hadamard_size(form: CacheFormat, head_size: int, *, largest: bool) -> int:
    """The length of the transform for heads of a size: 64, or the largest 64 * 2^k that divides it; 0 for none."""
    if not form.quantized or head_size % 64:
        return 0
    size = 64
    while largest and head_size % (2 * size) == 0:
        size *= 2
    return size


@kernel
def hadamard(arguments: int, chunk: int, worker: int) -> None:
    """Transform `n` consecutive runs of `size` floats in place; a chunk is one token.

    Arguments: 0 x f32 (n_tokens, n, size), 1 n, 2 size, a power of two.
    """
    a = i64(arguments, N_ARGUMENTS)
    n, size = a[1], a[2]
    factor = np.float32(1.0) / np.float32(math.sqrt(np.float32(size)))
    for run in range(n):
        x = f32(a[0] + (chunk * n + run) * size * 4, size)
        width = 1
        while width < size:
            for start in range(0, size, 2 * width):
                for i in range(start, start + width):
                    first, second = x[i], x[i + width]
                    x[i], x[i + width] = first + second, first - second
            width *= 2
        for i in range(size):
            x[i] *= factor
