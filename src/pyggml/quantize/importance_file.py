"""The files of llama-imatrix: what the activations that weights are multiplied with came to, in both formats.

The newer format is a GGUF file. The older one, little-endian: the number of entries; for each the length of its name,
the name, a number of chunks, the number of values, and the mean squares times that number as floats; then the number of
chunks measured, and the length and the name of the text.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyggml.errors import QuantizeError
from pyggml.gguf import FieldType, GGUFFile, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.shard import MAGIC
from pyggml.gguf.writer import Chunks, OutputTensor, write_gguf

SQUARES_SUFFIX, COUNT_SUFFIX, VALUES_SUFFIX = ".in_sum2", ".counts", ".in_sum"
DATASETS_KEY, CHUNK_COUNT_KEY, CHUNK_SIZE_KEY = "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"

Floats = npt.NDArray[np.float32]

_INT_BYTES = 4
_MAX_COUNT = 1 << 62


@dataclass(frozen=True)
class Sums:
    """What the rows of activations came to, column by column; a stack of matrices has them one after another."""

    squares: Floats
    """(n_matrices * n_columns,)"""
    counts: npt.NDArray[np.int64]
    """Rows added up, (n_matrices,); chunks in files of the older format."""
    values: Floats | None
    """The sums of the activations themselves, (n_matrices * n_columns,), which only newer files have."""


@dataclass(frozen=True)
class ImportanceFile:
    """The sums of a file, by the names of the weights."""

    entries: Mapping[str, Sums]
    datasets: tuple[str, ...]
    """The names of the texts."""
    n_chunks: int
    chunk_size: int | None
    """Tokens of a chunk; None in files of the older format."""


def read_importance_file(path: str) -> ImportanceFile:
    """Read a file in either format.

    Raises QuantizeError for a file that is neither, or is damaged; GGUFError for an unsound GGUF file.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise QuantizeError(f"{path}: the importance matrix cannot be read: {error.strerror}") from None
    return _read_gguf(path) if start == MAGIC else _read_legacy(path)


def write_importance_gguf(path: str, file: ImportanceFile) -> None:
    """Write the newer format. Raises GGUFError if that fails."""
    metadata = {
        "general.type": string_field("imatrix"),
        DATASETS_KEY: Field(FieldType(ValueType.ARRAY, ValueType.STRING), list(file.datasets)),
        CHUNK_COUNT_KEY: number_field(ValueType.UINT32, file.n_chunks),
        CHUNK_SIZE_KEY: number_field(ValueType.UINT32, file.chunk_size or 0),
    }
    write_gguf(path, metadata, [tensor for name in sorted(file.entries) for tensor in _tensors(name, file)])


def write_importance_legacy(path: str, file: ImportanceFile) -> None:
    """Write the older format, which has no place for the sums of values and for all texts but the last one.

    Raises QuantizeError if that fails.
    """
    # Weights that no row was multiplied with are left out.
    entries = {name: sums for name, sums in sorted(file.entries.items()) if sums.counts.any()}
    parts = [struct.pack("<i", len(entries))]
    for name, sums in entries.items():
        n_chunks = -(-int(sums.counts.max()) // (file.chunk_size or 1))
        values = _means(sums) * np.float32(n_chunks)
        parts += [_legacy_text(name), struct.pack("<ii", n_chunks, values.size), values.astype("<f4").tobytes()]
    parts += [struct.pack("<i", file.n_chunks), _legacy_text(file.datasets[-1] if file.datasets else "")]
    try:
        Path(path).write_bytes(b"".join(parts))
    except OSError as error:
        raise QuantizeError(f"{path}: the importance matrix cannot be written: {error.strerror}") from None


def _legacy_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<i", len(data)) + data


def _means(sums: Sums) -> Floats:
    """Mean squares; 1 where nothing was counted."""
    divisors = sums.counts.astype(np.float32)[:, None]
    is_counted = divisors > 0
    means = sums.squares.reshape(sums.counts.size, -1) / np.where(is_counted, divisors, np.float32(1))
    return np.where(is_counted, means, np.float32(1)).reshape(-1)


def mean_squares(file: ImportanceFile, name: str) -> Floats:
    """The mean of the squares for each column: the importance of the weight `name`.

    Where nothing was counted it is 1; in files of the older format, the squares as they are.
    """
    sums = file.entries[name]
    return sums.squares.copy() if file.chunk_size is None and not sums.counts.any() else _means(sums)


def _tensors(name: str, file: ImportanceFile) -> list[OutputTensor]:
    """The tensors of an entry: a matrix with a row for each of its matrices, and the counts."""
    sums = file.entries[name]
    n_matrices = sums.counts.size
    parts = {SQUARES_SUFFIX: sums.squares, COUNT_SUFFIX: sums.counts.astype(np.float32)}
    if sums.values is not None:
        parts[VALUES_SUFFIX] = sums.values
    return [
        OutputTensor(name + suffix, 0, _trimmed(values.size // n_matrices, n_matrices), partial(_bytes_of, values))
        for suffix, values in parts.items()
    ]


def _trimmed(n_columns: int, n_matrices: int) -> tuple[int, ...]:
    return (n_columns, n_matrices) if n_matrices > 1 else (n_columns,)


def _bytes_of(values: Floats) -> Chunks:
    return [values.view(np.uint8)]


def _read_gguf(path: str) -> ImportanceFile:
    with GGUFFile.open(path) as file:
        lacking = [key for key in (DATASETS_KEY, CHUNK_COUNT_KEY, CHUNK_SIZE_KEY) if key not in file.metadata]
        if lacking:
            raise QuantizeError(f"{path}: this is no importance matrix: the metadata lack {', '.join(lacking)}")
        names = {name.removesuffix(suffix) for name in file.tensors for suffix in _suffixes(name)}
        entries = {name: _gguf_entry(file, name) for name in sorted(names)}
        if not entries:
            raise QuantizeError(f"{path}: the importance matrix is empty")
        datasets = tuple(file.require(DATASETS_KEY, list[str]))
        n_chunks, chunk_size = file.require(CHUNK_COUNT_KEY, int), file.require(CHUNK_SIZE_KEY, int)
        return ImportanceFile(entries, datasets, n_chunks, chunk_size)


def _suffixes(name: str) -> list[str]:
    return [suffix for suffix in (SQUARES_SUFFIX, COUNT_SUFFIX) if name.endswith(suffix)]


def _gguf_entry(file: GGUFFile, name: str) -> Sums:
    squares, counted = _floats(file, name + SQUARES_SUFFIX), _floats(file, name + COUNT_SUFFIX)
    if not counted.size or squares.size % counted.size:
        raise QuantizeError(
            f"{file.path}: {name!r} has {squares.size} sums for {counted.size} counts; allowed is a multiple of the "
            "counts"
        )
    if not (np.abs(counted) < _MAX_COUNT).all():
        raise QuantizeError(f"{file.path}: the counts of {name!r} are not finite: measure the importance again")
    values = _floats(file, name + VALUES_SUFFIX) if name + VALUES_SUFFIX in file.tensors else None
    if values is not None and values.size != squares.size:
        raise QuantizeError(
            f"{file.path}: {name!r} has {values.size} sums of values for {squares.size} of squares; allowed are as many"
        )
    # Counts are whole numbers kept as floats.
    return Sums(squares, np.floor(counted.astype(np.float64) + 0.5).astype(np.int64), values)


def _floats(file: GGUFFile, name: str) -> Floats:
    info = file.tensors.get(name)
    if info is None or info.type_name != "F32":
        found = "is missing" if info is None else f"has type {info.type_name}; allowed is F32"
        raise QuantizeError(f"{file.path}: tensor {name!r} {found}: measure the importance again")
    # A copy, for the file is closed when the sums are still there.
    return file.tensor_bytes(name).view(np.float32).copy()


def _read_legacy(path: str) -> ImportanceFile:
    try:
        return _parse_legacy(Path(path).read_bytes())
    except (struct.error, UnicodeDecodeError, ValueError):
        raise QuantizeError(
            f"{path}: this is no importance matrix, or a truncated one: needed is a file that llama-imatrix wrote"
        ) from None


def _parse_legacy(data: bytes) -> ImportanceFile:
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
    entries: dict[str, Sums] = {}
    for _ in range(n_entries):
        name = piece(integer()).decode()
        n_chunks, n_values = integer(), integer()
        squares = np.frombuffer(piece(4 * n_values), "<f4").astype(np.float32)
        entries[name] = Sums(squares, np.array([n_chunks], np.int64), None)
    if not entries:
        raise ValueError("no entries")
    # What follows is optional.
    n_chunks = integer() if offset < len(data) else 0
    dataset = piece(integer()).decode() if offset < len(data) else ""
    return ImportanceFile(entries, (dataset,) if dataset else (), n_chunks, None)
