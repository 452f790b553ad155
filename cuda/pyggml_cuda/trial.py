"""A small product by warpgroups beside the same by other kernels, before a GPU is relied on to compute it so.

Kernels for one architecture are the only ones that address its units by number, which no other tool checks.
"""

import warnings
from functools import cache

import cupy
import numpy as np
import numpy.typing as npt

from pyggml_cuda import device, matmul, matmul_wide, pack
from pyggml_cuda.convert import Source, convert
from pyggml_cuda.formats import TILE_ROWS, Form, TileFormat, WideForm
from pyggml_cuda.matmul import Activation, Matrix

_ROWS, _COLUMNS, _TOKENS = 144, 512, 72


@cache
def wide_products_agree(form: TileFormat) -> bool:
    """Whether both kinds of kernels give the same bits for random weights of a format; RuntimeWarning if not."""
    random = np.random.default_rng(1)
    # Small numbers, so that no scale is infinite or NaN; a tile takes as many bytes as its 16 blocks in a file.
    blocks = random.integers(0, 60, _ROWS * _COLUMNS // 256 * form.tile_bytes // TILE_ROWS, dtype=np.uint8)
    weights = device.allocate(pack.packed_bytes(form, _ROWS, _COLUMNS))
    source = device.upload(blocks)
    x = device.upload(random.standard_normal(_TOKENS * _COLUMNS).astype(np.float32).view(np.uint8))
    device.run_now(pack.pack(form, 256, source.data.ptr, weights.data.ptr, _ROWS, _COLUMNS))
    if form.wide_form is None:
        raise TypeError(f"{form.expression} has no products by warpgroups")
    narrow, wide = (_product(form, shape, weights.data.ptr, x.data.ptr) for shape in (form.form, form.wide_form))
    agree = np.array_equal(narrow, wide)
    if not agree:
        what = f"products of {form.expression} by warpgroups come out wrong on this GPU; slower ones are used"
        warnings.warn(what, RuntimeWarning, stacklevel=2)
    return agree


def _product(form: TileFormat, shape: Form | WideForm, weights: int, x: int) -> npt.NDArray[np.float32]:
    """All tokens times the weights, by the kernels that take activations in a form."""
    sizes = shape.strides(_TOKENS, _COLUMNS)
    levels, scales, sums = (device.allocate(n) for n in (sizes.level_bytes, sizes.scale_bytes, sizes.sum_bytes))
    strides = sizes.level_stride, sizes.scale_stride, sizes.sum_stride
    activation = Activation(levels.data.ptr, scales.data.ptr, sums.data.ptr, *strides)
    out = device.allocate(4 * _TOKENS * _ROWS)
    parts = device.allocate(matmul_wide.parts_bytes(form, [_ROWS], _TOKENS, _COLUMNS))
    matrices = [Matrix(weights, _ROWS, out.data.ptr)]
    device.run_now(convert(Source("Plain", _COLUMNS, x), shape, activation, _TOKENS))
    if isinstance(shape, WideForm):
        device.run_now(*matmul_wide.multiply(form, matrices, activation, _TOKENS, _COLUMNS, parts.data.ptr))
    else:
        device.run_now(matmul.multiply(form, matrices, activation, _TOKENS, _COLUMNS, device.compute_capability()))
    found: npt.NDArray[np.float32] = cupy.asnumpy(out).view(np.float32)
    return found
