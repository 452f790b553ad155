"""The Gaussian error linear unit (Hendrycks and Gimpel, 2016, arXiv:1606.08415) by its two approximations.

Both are x / (1 + exp(-2 u)): with u = sqrt(2 / pi) (x + 0.044715 x^3) that is 0.5 x (1 + tanh(u)), with u = 0.851 x the
quick one. ggml's CPU backend looks both up in a table of halves; here they are computed in float32, as on its GPUs.
"""

from typing import Any

import numpy as np

from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import i64
from pyggml_kernels.simd.exponential import exponential
from pyggml_kernels.simd.floats import load_some, store_some
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import store_floats

N_ARGUMENTS = 4

_ONE = np.float32(1)
_CUBIC = np.float32(0.044715)
_MINUS_TWICE_ROOT = np.float32(-2 * 0.79788456080286535587989211986876)
_QUICK = np.float32(-1.702)


@device
def _gelu(x: Any) -> Any:
    return x / (exponential(x * _MINUS_TWICE_ROOT * (x * x * _CUBIC + _ONE)) + _ONE)


@device
def _gelu_quick(x: Any) -> Any:
    return x / (exponential(x * _QUICK) + _ONE)


@kernel
def gelu(arguments: int, chunk: int, worker: int) -> None:
    """out = gelu(x) by the approximation with tanh. Arguments: 0 x, 1 out, both f32 (n,), 2 n, 3 elements per chunk."""
    a = i64(arguments, N_ARGUMENTS)
    first, end = chunk * a[3], min(a[2], (chunk + 1) * a[3])
    whole = end - (end - first) % TILE_ROWS
    for i in range(first, whole, TILE_ROWS):
        store_floats(a[1] + i * 4, _gelu(load_floats(a[0] + i * 4)))
    store_some(a[1] + whole * 4, _gelu(load_some(a[0] + whole * 4, end - whole)), end - whole)


@kernel
def gelu_quick(arguments: int, chunk: int, worker: int) -> None:
    """out = x / (1 + exp(-1.702 x)). Arguments: as `gelu`."""
    a = i64(arguments, N_ARGUMENTS)
    first, end = chunk * a[3], min(a[2], (chunk + 1) * a[3])
    whole = end - (end - first) % TILE_ROWS
    for i in range(first, whole, TILE_ROWS):
        store_floats(a[1] + i * 4, _gelu_quick(load_floats(a[0] + i * 4)))
    store_some(a[1] + whole * 4, _gelu_quick(load_some(a[0] + whole * 4, end - whole)), end - whole)
