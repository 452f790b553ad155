"""F16: one IEEE half a weight."""

import numpy as np

from pyggml_kernels.formats.format import NumberFormat
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, float_to_half_plain_nan, half_to_float, u16
from pyggml_kernels.simd.floats import store_halves
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.vector import TILE_ROWS

LAYOUT = np.dtype([("value", np.float16)])


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
    whole = n - n % TILE_ROWS
    for i in range(0, whole, TILE_ROWS):
        store_halves(out + i * 2, load_floats(source + i * 4))
    for i in range(whole, n):
        values[i] = float_to_half_plain_nan(floats[i])


F16 = NumberFormat("F16", 1, LAYOUT, 1, "F16", load=load_f16, store=store_f16)
