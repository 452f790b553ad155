"""A tensor as it lies in a file of a checkpoint: contiguous, the last dimension fastest."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

Floats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float16]

#: NumPy's types of what a checkpoint may hold, by the names of safetensors. BF16 has none: its bits are read.
DTYPES: Mapping[str, np.dtype[np.generic]] = MappingProxyType(
    {
        "F64": np.dtype("<f8"),
        "F32": np.dtype("<f4"),
        "F16": np.dtype("<f2"),
        "BF16": np.dtype("<u2"),
    }
)

_MAX_DIMS = 8
#: Weights that are in memory at a time.
_WEIGHTS_PER_SLAB = 1 << 20


@dataclass(frozen=True)
class SourceTensor:
    """Where the weights of a tensor are; `shape` as in the checkpoint, the slowest dimension first."""

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def n_weights(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """How many bytes they take."""
        return self.n_weights * DTYPES[self.dtype].itemsize

    @property
    def row_weights(self) -> int:
        """The weights under one index of the first dimension."""
        return math.prod(self.shape[1:])

    def rows(self, first: int, last: int) -> Floats:
        """The weights (last - first, ...) under these indices of the first dimension: F16 as it is, others as float32.

        Raises CheckpointError if the file has become shorter, or cannot be read any more.
        """
        dtype = DTYPES[self.dtype]
        count = (last - first) * self.row_weights
        start = self.offset + first * self.row_weights * dtype.itemsize
        try:
            raw = np.fromfile(self.path, dtype, count, offset=start)
        except OSError as error:
            raise CheckpointError(f"{self.path}: the file cannot be read: {error.strerror or error}") from None
        if raw.size != count:
            raise CheckpointError(
                f"{self.path}: the file ends within tensor {quoted(self.name)}: was it cut meanwhile?"
            )
        return _as_floats(self.dtype, raw).reshape(last - first, *self.shape[1:])

    def slabs(self, first: int = 0, last: int | None = None, step: int = 1) -> Iterator[Floats]:
        """The rows from `first` to `last` in pieces that take little memory, each a multiple of `step` rows."""
        end = self.shape[0] if last is None else last
        n_steps = max(1, _WEIGHTS_PER_SLAB // max(1, step * self.row_weights))
        for start in range(first, end, step * n_steps):
            yield self.rows(start, min(start + step * n_steps, end))


Slabs: TypeAlias = Callable[[], Iterator[Floats]]


def checked_source(
    name: str, path: Path, dtype: str, shape: tuple[int, ...], offset: int, n_file_bytes: int
) -> SourceTensor:
    """A tensor whose weights lie within the file. Raises CheckpointError otherwise, and for an unknown type."""
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {quoted(name)} is of type {quoted(dtype)}; allowed are {', '.join(DTYPES)}: a checkpoint "
            "that is quantized already cannot be converted, take the one that it was made from"
        )
    if len(shape) > _MAX_DIMS or any(n < 0 for n in shape):
        raise CheckpointError(
            f"{path}: tensor {quoted(name)} has the shape {shape}; allowed are up to {_MAX_DIMS} dimensions, none "
            "negative"
        )
    tensor = SourceTensor(name, path, dtype, shape, offset)
    if offset < 0 or offset + tensor.n_bytes > n_file_bytes:
        raise CheckpointError(
            f"{path}: tensor {quoted(name)} needs {tensor.n_bytes} bytes from byte {offset} on; the file has "
            f"{n_file_bytes}: it is damaged, or not downloaded whole"
        )
    return tensor


def _as_floats(dtype: str, raw: npt.NDArray[np.generic]) -> Floats:
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype == "F64":
        with np.errstate(over="ignore"):
            return raw.astype(np.float32)
    return raw.view(np.float16) if dtype == "F16" else raw.view(np.float32)
