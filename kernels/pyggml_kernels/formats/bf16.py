"""BF16: the upper half of an IEEE single, one a weight."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.format import NumberFormat
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import bits_float, f32, float_bits, u16

LAYOUT = np.dtype([("bits", np.uint16)])  # NumPy has no type for it

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITY = np.uint32(0x7F800000)
_QUIET = np.uint32(0x40)
_SHIFT = np.uint32(16)
_ALMOST_HALF = np.uint32(0x7FFF)


@device
def bfloat_to_float(bits: Any) -> Any:
    """The float that a BF16 number has, given its 16 bits."""
    return bits_float(np.uint32(np.uint32(bits) << _SHIFT))


@device
def float_to_bfloat(value: Any) -> Any:
    """The 16 bits of the BF16 number nearest to a float, ties to even; subnormals kept, NaNs quiet."""
    bits = float_bits(value)
    upper = np.uint32(bits >> _SHIFT)
    rounded = np.uint32(np.uint32(bits + _ALMOST_HALF + (upper & np.uint32(1))) >> _SHIFT)
    return np.uint16(upper | _QUIET if (bits & _MAGNITUDE) > _INFINITY else rounded)


@kernel
def load_bf16(source: int, n: int, out: int) -> None:
    """BF16 numbers to floats."""
    values, floats = u16(source, n), f32(out, n)
    for i in range(n):
        floats[i] = bfloat_to_float(values[i])


@kernel
def store_bf16(source: int, n: int, out: int) -> None:
    """Floats to BF16 numbers, to nearest even."""
    floats, values = f32(source, n), u16(out, n)
    for i in range(n):
        values[i] = float_to_bfloat(floats[i])


BF16 = NumberFormat("BF16", 30, LAYOUT, 1, "BF16", load=load_bf16, store=store_bf16)
