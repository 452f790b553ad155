"""Arithmetic whose rounding is part of the numbers to be equal to."""

from typing import Any

import numpy as np
from numba import types

from pyggml_kernels.jit import device, intrinsic
from pyggml_kernels.memory import float_bits

#: 1.5 * 2**23: a small number added to it is rounded to an integer, in the low bits of the sum.
TO_INTEGER = np.float32(12582912)
_INTEGER_BITS = np.int32(0x007FFFFF)
_INTEGER_OFFSET = np.int32(0x00400000)


@device
def nearest(x: Any) -> Any:
    """The nearest integer, ties to even, as ggml finds it: 0 for NaN, -2**22 for infinities, anything beyond 2**22."""
    return np.int32(np.int32(float_bits(x + TO_INTEGER)) & _INTEGER_BITS) - _INTEGER_OFFSET


@intrinsic
def multiply_add(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z of three floats, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate
