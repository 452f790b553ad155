"""Quantization to the formats that keep one number a weight: rounding, row by row."""

from pyggml_kernels.calls import call_convert
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import i64

#: Words of a quantizer's arguments, see `Format._quantizer`.
N_ARGUMENTS = 8


@kernel
def quantize_floats(arguments: int, chunk: int, worker: int) -> None:
    """Store rows of floats in the format whose `store` is given."""
    a = i64(arguments, N_ARGUMENTS)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        call_convert(a[7], a[0] + row * a[2] * 4, a[2], a[3] + row * a[4])
