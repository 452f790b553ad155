"""Kernels called as a plan calls them, their operands as ggml makes them, and how far their results are off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu.arguments import arguments
from pyggml_kernels.formats import FORMATS, FloatFormat, Format, LevelFormat
from pyggml_kernels.jit import Kernel
from pyggml_reference import quants
from tests.kernels.comparing import Guarded

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: The bounds of the numerics contract: level 2, relative L2 error, and level 3, normalized mean squared error.
MAX_RELATIVE_ERROR = 1e-6
MAX_NMSE = 1e-7

LEVEL_FORMATS = [each for each in FORMATS.values() if isinstance(each, LevelFormat)]
FLOAT_FORMATS = [each for each in FORMATS.values() if isinstance(each, FloatFormat)]

_ACTIVATIONS = {
    "Q8_0": np.dtype([("d", np.float16), ("qs", np.int8, 32)]),
    "Q8_1": np.dtype([("d", np.float16), ("s", np.float16), ("qs", np.int8, 32)]),
    "Q8_K": np.dtype([("d", np.float32), ("qs", np.int8, 256), ("bsums", np.int16, 16)]),
}


def call(
    kernel: Kernel,
    words: Mapping[int, int],
    n_chunks: int,
    *,
    doubles: Mapping[int, float] | None = None,
    seed: int = 0,
    n_workers: int = 1,
) -> None:
    """Run all chunks in an order drawn from `seed`, each as a worker drawn from it."""
    packed = arguments(32, words, doubles)
    generator = np.random.default_rng(seed)
    for chunk in generator.permutation(n_chunks):
        kernel(packed.ctypes.data, int(chunk), int(generator.integers(n_workers)))


def address(array: npt.NDArray[Any]) -> int:
    return int(array.ctypes.data)


def guarded(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Guarded:
    """An output that is NaN (as floats of any format) until it is written."""
    result = Guarded(shape, dtype)
    result.array.view(np.uint8)[...] = 0xFF
    return result


def normals(generator: np.random.Generator, *shape: int) -> Floats:
    """Normal numbers, times a power of ten that may differ from row to row; now and then a zero or a large one."""
    scale = 10.0 ** generator.uniform(-2, 2, (*shape[:-1], 1))
    x = generator.standard_normal(shape) * scale
    x[generator.random(shape) < 0.02] = 0
    x[generator.random(shape) < 0.005] *= 50
    return x.astype(np.float32)


@dataclass(frozen=True)
class Activation:
    """Rows in the form that weights of some format are multiplied with, each array (n, ...)."""

    levels: npt.NDArray[np.int8]
    scales: Floats
    """Of blocks."""
    shifts: Floats
    """Of blocks: Q8_1's sums, else zeros."""
    sums: npt.NDArray[np.int16]
    """Of the levels of groups."""

    def packed(self, tokens: slice = slice(None)) -> Bytes:
        """Some of the rows, as kernels read them: one array behind the other."""
        parts = (self.levels, self.scales, self.shifts, self.sums)
        return np.concatenate([np.ascontiguousarray(part[tokens]).view(np.uint8).reshape(-1) for part in parts])


def quantize_activation(form: LevelFormat, x: Floats) -> Activation:
    """Rows of `x` as ggml's CPU backend quantizes them."""
    n, n_columns = x.shape
    name = cast("Literal['Q8_0', 'Q8_1', 'Q8_K']", form.activation)
    layout = _ACTIVATIONS[name]
    blocks = np.stack([quants.quantize_activation(name, row, "cpu").view(layout) for row in x])
    levels = np.ascontiguousarray(blocks["qs"].reshape(n, n_columns))
    scales = blocks["d"].astype(np.float32)
    shifts = blocks["s"].astype(np.float32) if name == "Q8_1" else np.zeros_like(scales)
    sums = levels.reshape(n, -1, form.group_size).sum(axis=-1, dtype=np.int16)
    return Activation(levels, scales, shifts, sums)


def round_activation(form: FloatFormat, x: Floats) -> Floats:
    """Rows of `x` as ggml's CPU backend rounds them for weights of a float format."""
    if form.activation == "F32":
        return x
    type_id = quants.vec_dot_type(form.type_id)
    return quants.dequantize(type_id, quants.encode_cpu(type_id, x), x.size).reshape(x.shape)


def random_weights(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Bytes:
    """Rows of encoded normal numbers."""
    importance = np.ones(n_columns, np.float32) if isinstance(form, LevelFormat) and form.needs_importance else None
    return quants.quantize(form.type_id, normals(generator, n_rows, n_columns), importance)


def relative_error(found: npt.NDArray[Any], exact: Doubles, terms: Doubles) -> float:
    """The L2 norm of the error over the larger of the norms of the result and of the terms that were summed up.

    For sums of many independent terms the two are alike. Where a sum happens to cancel, its own norm says nothing of
    what float32 can do.
    """
    assert found.shape == exact.shape
    error = float(np.linalg.norm(found - exact))
    return error / max(float(np.linalg.norm(exact)), float(np.linalg.norm(terms)), 1e-300)


def nmse(found: npt.NDArray[Any], exact: npt.NDArray[Any]) -> float:
    """The squared error over the square of what is exact, or of 1e-30: below that, numbers may underflow."""
    assert found.shape == exact.shape
    wanted = exact.astype(np.float64)
    return float(((found - wanted) ** 2).sum() / max(float((wanted**2).sum()), 1e-60))
