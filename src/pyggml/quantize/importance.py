"""Importance matrices: how much the error of each column of a weight counts, as llama-imatrix measures it."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyggml.errors import QuantizeError
from pyggml.gguf import GGUFFile
from pyggml.gguf.shard import MAGIC

SUM_SUFFIX, COUNT_SUFFIX = ".in_sum2", ".counts"
DATASETS_KEY, CHUNK_COUNT_KEY, CHUNK_SIZE_KEY = "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"

_INT_BYTES = 4


@dataclass(frozen=True)
class Importance:
    """A value for each column of a weight, by the weight's name; a stack of matrices has them one after another."""

    path: str
    columns: Mapping[str, npt.NDArray[np.float32]]
    datasets: tuple[str, ...]
    n_chunks: int

    def without(self, parts: Sequence[str]) -> "Importance":
        """All entries but those whose name contains one of these."""
        return self._kept({name for name in self.columns if not any(part in name for part in parts)})

    def only(self, parts: Sequence[str]) -> "Importance":
        """The entries whose name contains one of these."""
        return self._kept({name for name in self.columns if any(part in name for part in parts)})

    def _kept(self, names: set[str]) -> "Importance":
        return replace(self, columns={name: values for name, values in self.columns.items() if name in names})


def read_importance(path: str) -> Importance:
    """Read a file of llama-imatrix, in GGUF or in the older format.

    Raises QuantizeError for a file that is neither, is damaged, or holds values that are not finite; GGUFError for an
    unsound GGUF file.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise QuantizeError(f"{path}: the importance matrix cannot be read: {error.strerror}") from None
    importance = _read_gguf(path) if start == MAGIC else _read_legacy(path)
    for name, values in importance.columns.items():
        if not np.isfinite(values).all():
            raise QuantizeError(f"{path}: the importance of {name!r} is not finite: measure it again")
    return importance


def _read_gguf(path: str) -> Importance:
    with GGUFFile.open(path) as file:
        lacking = [key for key in (DATASETS_KEY, CHUNK_COUNT_KEY, CHUNK_SIZE_KEY) if key not in file.metadata]
        if lacking:
            raise QuantizeError(f"{path}: this is no importance matrix: the metadata lack {', '.join(lacking)}")
        names = {name.removesuffix(suffix) for name in file.tensors for suffix in _suffixes(name)}
        columns = {name: _gguf_entry(file, name) for name in sorted(names)}
        if not columns:
            raise QuantizeError(f"{path}: the importance matrix is empty")
        n_chunks = file.require(CHUNK_COUNT_KEY, int)
        return Importance(path, columns, tuple(file.require(DATASETS_KEY, list[str])), n_chunks)


def _suffixes(name: str) -> list[str]:
    return [suffix for suffix in (SUM_SUFFIX, COUNT_SUFFIX) if name.endswith(suffix)]


def _gguf_entry(file: GGUFFile, name: str) -> npt.NDArray[np.float32]:
    """Sums of squares divided by the number of rows that went into them; 1 where there were none."""
    for suffix in (SUM_SUFFIX, COUNT_SUFFIX):
        info = file.tensors.get(name + suffix)
        if info is None or info.type_name != "F32":
            found = "is missing" if info is None else f"has type {info.type_name}; allowed is F32"
            raise QuantizeError(f"{file.path}: tensor {name + suffix!r} {found}: measure the importance again")
    sums = file.tensor_bytes(name + SUM_SUFFIX).view(np.float32)
    # Counts are whole numbers kept as floats.
    counts = np.floor(file.tensor_bytes(name + COUNT_SUFFIX).view(np.float32).astype(np.float64) + 0.5)
    if not counts.size or sums.size % counts.size:
        raise QuantizeError(
            f"{file.path}: {name!r} has {sums.size} sums for {counts.size} counts; allowed is a multiple of the counts"
        )
    divisors = counts.astype(np.float32)[:, None]
    is_counted = divisors > 0
    means = sums.reshape(counts.size, -1) / np.where(is_counted, divisors, np.float32(1))
    return np.where(is_counted, means, np.float32(1)).reshape(-1)


def _read_legacy(path: str) -> Importance:
    """Number of entries; each: length of name, name, calls, number of values, floats. Then chunks and data set."""
    data = Path(path).read_bytes()
    try:
        return _parse_legacy(path, data)
    except (struct.error, UnicodeDecodeError, ValueError):
        raise QuantizeError(
            f"{path}: this is no importance matrix, or a truncated one: needed is a file that llama-imatrix wrote"
        ) from None


def _parse_legacy(path: str, data: bytes) -> Importance:
    offset = 0

    def integer() -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<i", data, offset)
        offset += _INT_BYTES
        if value < 0:
            raise ValueError("a negative count")
        return int(value)

    def piece(n_bytes: int) -> bytes:
        nonlocal offset
        if offset + n_bytes > len(data):
            raise ValueError("the file ends too early")
        offset += n_bytes
        return data[offset - n_bytes : offset]

    n_entries = integer()
    columns: dict[str, npt.NDArray[np.float32]] = {}
    for _ in range(n_entries):
        name = piece(integer()).decode()
        n_calls, n_values = integer(), integer()
        values = np.frombuffer(piece(4 * n_values), np.float32)
        columns[name] = values / np.float32(n_calls) if n_calls else values.copy()
    if not columns:
        raise ValueError("no entries")
    # What follows is optional.
    n_chunks = integer() if offset < len(data) else 0
    dataset = piece(integer()).decode() if offset < len(data) else ""
    return Importance(path, columns, (dataset,) if dataset else (), n_chunks)
