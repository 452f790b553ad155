"""How far quantized weights are from the floats they stand for."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
import numpy.typing as npt

from pyggml.errors import QuantizeError
from pyggml.formats import Formats
from pyggml.gguf import GGUFFile, TensorInfo
from pyggml.quantize.categories import may_be_quantized
from pyggml_kernels.formats import Format

_WEIGHTS_PER_SLAB = 1 << 18


@dataclass(frozen=True)
class WeightError:
    """What quantizing did to tensors of one kind, such as `ffn_up`, in all layers together."""

    kind: str
    n_weights: int = 0
    squares: float = 0.0
    """The sum of the weights' squares."""
    squared_errors: float = 0.0
    largest: float = 0.0
    """The largest error of a weight."""

    @property
    def rms(self) -> float:
        """The root of the mean square error."""
        return sqrt(self.squared_errors / max(1, self.n_weights))

    @property
    def relative(self) -> float:
        """That, relative to the root of the weights' mean square; 0 if all are zero."""
        return sqrt(self.squared_errors / self.squares) if self.squares else 0.0

    def plus(self, other: "WeightError") -> "WeightError":
        """Both together, under the name of this one."""
        return WeightError(
            self.kind,
            self.n_weights + other.n_weights,
            self.squares + other.squares,
            self.squared_errors + other.squared_errors,
            max(self.largest, other.largest),
        )


def measure_format(file: GGUFFile, form: Format, formats: Formats, n_threads: int) -> list[WeightError]:
    """The error of each kind of matrix that may be quantized, when quantized without importance, and then of all.

    Tensors whose rows are no whole number of blocks are left out. Raises QuantizeError if none is left, or the format
    cannot be quantized to.
    """
    decoders = formats.for_file(file).by_number
    _round_trip(np.zeros((1, form.block_size), np.float32), form)  # so that no two threads compile the same kernel
    errors: dict[str, WeightError] = {}
    with ThreadPoolExecutor(n_threads, "pyggml-measure") as threads:
        for info in file.tensors.values():
            if not may_be_quantized(info) or info.shape[0] % form.block_size or info.type_id not in decoders:
                continue
            kind = re.sub(r"^blk\.\d+\.|\.weight$", "", info.name)
            measure = partial(_slab_error, kind, info.shape[0], decoders[info.type_id], form)
            for error in threads.map(measure, _slabs(file, info, decoders[info.type_id])):
                errors[kind] = errors.get(kind, WeightError(kind)).plus(error)
    if not errors:
        raise QuantizeError(
            f"{file.path}: no matrix has rows of a multiple of {form.block_size} weights, as {form.name} needs"
        )
    total = WeightError("all")
    for each in errors.values():
        total = total.plus(each)
    return [*errors.values(), total]


def _slabs(file: GGUFFile, info: TensorInfo, decoder: Format) -> Iterator[npt.NDArray[np.uint8]]:
    """A tensor's rows, some at a time."""
    rows = file.tensor_bytes(info.name).reshape(-1, decoder.row_bytes(info.shape[0]))
    per_slab = max(1, _WEIGHTS_PER_SLAB // info.shape[0])
    return (rows[start : start + per_slab] for start in range(0, len(rows), per_slab))


def _slab_error(kind: str, n_columns: int, decoder: Format, form: Format, rows: npt.NDArray[np.uint8]) -> WeightError:
    weights = decoder.dequantize(rows).reshape(-1, n_columns)
    difference = np.abs(_round_trip(weights, form).astype(np.float64) - weights)
    squares = float(np.sum(weights.astype(np.float64) ** 2))
    return WeightError(kind, weights.size, squares, float(np.sum(difference**2)), float(difference.max(initial=0)))


def _round_trip(weights: npt.NDArray[np.float32], form: Format) -> npt.NDArray[np.float32]:
    try:
        return form.dequantize(form.quantize(weights)).reshape(weights.shape)
    except ValueError as error:
        raise QuantizeError(f"weights cannot become {form.name}: {error}") from error
