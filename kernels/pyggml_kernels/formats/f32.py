"""F32: one IEEE single a weight."""

import numpy as np

from pyggml_kernels.formats.format import NumberFormat
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32

LAYOUT = np.dtype([("value", np.float32)])


@kernel
def copy_f32(source: int, n: int, out: int) -> None:
    """Floats to floats, every bit kept."""
    floats, copies = f32(source, n), f32(out, n)
    for i in range(n):
        copies[i] = floats[i]


F32 = NumberFormat("F32", 0, LAYOUT, 1, "F32", load=copy_f32, store=copy_f32)
