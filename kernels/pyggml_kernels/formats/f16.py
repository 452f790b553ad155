"""F16: one IEEE half a weight."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.format import NumberFormat
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, float_bits, float_to_half, half_to_float, u16

LAYOUT = np.dtype([("value", np.float16)])

_SIGN = np.uint16(0x8000)
_NAN = np.uint16(0x7E00)
_SIGN_SHIFT = np.uint32(16)


@device
def float_to_half_plain_nan(value: Any) -> Any:
    """The 16 bits of the half nearest to a float, ties to even; of a NaN only the sign is kept."""
    sign = np.uint16(float_bits(value) >> _SIGN_SHIFT) & _SIGN
    return np.uint16(sign | _NAN if value != value else float_to_half(value))


@kernel
def load_f16(source: int, n: int, out: int) -> None:
    """Halves to floats."""
    values, floats = u16(source, n), f32(out, n)
    for i in range(n):
        floats[i] = half_to_float(values[i])


@kernel
def store_f16(source: int, n: int, out: int) -> None:
    """Floats to halves, to nearest even."""
    floats, values = f32(source, n), u16(out, n)
    for i in range(n):
        values[i] = float_to_half_plain_nan(floats[i])


F16 = NumberFormat("F16", 1, LAYOUT, 1, "F16", load=load_f16, store=store_f16)
