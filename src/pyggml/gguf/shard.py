"""One GGUF file, mapped into memory and checked: a whole model, or one shard of a split one.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyggml.errors import GGUFError
from pyggml.gguf.cursor import ByteOrder, Cursor
from pyggml.gguf.tensors import MIN_INFO_BYTES, TensorInfo, place, read_entries
from pyggml.gguf.values import MIN_ENTRY_BYTES, FieldType, Value, ValueType, read_metadata

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT_KEY = "general.alignment"
DEFAULT_ALIGNMENT = 32

_PREAMBLE_BYTES = 8

# What people hand over instead of a GGUF file, by its first bytes.
_LOOKALIKES = (
    (b"version https://git-lfs", "it is the pointer of a file in Git LFS; fetch the file itself, with git lfs pull"),
    (b"<", "it looks like a web page; download the file itself"),
    (b"PK", "it looks like a PyTorch checkpoint or a zip archive; convert it to GGUF first"),
    (b"lmgg", "it has the format ggml used before GGUF; convert it to GGUF first"),
    (b"tjgg", "it has the format ggml used before GGUF; convert it to GGUF first"),
    (b"fmgg", "it has the format ggml used before GGUF; convert it to GGUF first"),
)


@dataclass(frozen=True)
class Shard:
    """What one file holds; `data` are all its bytes, a read-only view of the memory map that keeps it alive."""

    path: Path
    version: int
    byte_order: ByteOrder
    alignment: int
    metadata: dict[str, Value]
    metadata_types: dict[str, FieldType]
    tensors: dict[str, TensorInfo]
    data: npt.NDArray[np.uint8]
    buffer: mmap.mmap

    def release(self, start: int, n_bytes: int) -> None:
        """Give the pages that lie wholly within a range back to the operating system, where it takes such advice."""
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (start + n_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first and hasattr(mmap, "MADV_DONTNEED"):
            self.buffer.madvise(mmap.MADV_DONTNEED, first, last - first)


def read_shard(path: Path) -> Shard:
    """Map one file and read everything before its tensors' data. Raises GGUFError unless all of it is sound."""
    buffer = _mapped(path)
    version, byte_order = _read_preamble(buffer, path)
    cursor = Cursor(buffer, path, byte_order, _PREAMBLE_BYTES)
    n_tensors = cursor.count(MIN_INFO_BYTES, "tensors")
    n_entries = cursor.count(MIN_ENTRY_BYTES, "metadata keys")
    metadata, types = read_metadata(cursor, n_entries)
    alignment = _alignment(path, metadata, types)
    tensors = place(cursor, read_entries(cursor, n_tensors), alignment)
    data = np.frombuffer(buffer, np.uint8)
    return Shard(path, version, byte_order, alignment, metadata, types, tensors, data, buffer)


def _mapped(path: Path) -> mmap.mmap:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "directory" if stat.S_ISDIR(status.st_mode) else "device, pipe or socket"
            raise GGUFError(f"{path}: this is a {kind}; needed is a GGUF file")
        if not status.st_size:
            raise GGUFError(f"{path}: the file is empty; needed is a GGUF file")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise GGUFError(f"{path}: there is no such file") from None
    except OSError as error:
        raise GGUFError(f"{path}: the file cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise GGUFError(f"{path}: this is no path of a file: {error}") from None


def _read_preamble(buffer: mmap.mmap, path: Path) -> tuple[int, ByteOrder]:
    start = buffer[: len(MAGIC)]
    if start != MAGIC:
        raise GGUFError(f"{path}: not a GGUF file: {_description(buffer)}")
    if len(buffer) < _PREAMBLE_BYTES:
        raise GGUFError(f"{path}, byte {len(buffer)}: the file is truncated: it ends before its version")
    (version,) = struct.unpack_from("<I", buffer, len(MAGIC))
    byte_order: ByteOrder = "little"
    # No version is a multiple of 65536, so one that seems to be was written in the other order.
    if version and version % 2**16 == 0:
        (version,) = struct.unpack_from(">I", buffer, len(MAGIC))
        byte_order = "big"
    if version not in VERSIONS:
        remedy = "a newer pyggml may read it" if version > max(VERSIONS) else "convert the model to GGUF again"
        raise GGUFError(
            f"{path}, byte {len(MAGIC)}: the file has version {version} of GGUF; allowed are "
            f"{' and '.join(map(str, VERSIONS))}; {remedy}"
        )
    return version, byte_order


def _description(buffer: mmap.mmap) -> str:
    start = buffer[:32]
    guesses = (guess for prefix, guess in _LOOKALIKES if start.lstrip().startswith(prefix))
    return "; ".join([f"it starts with {start[:8]!r} instead of {MAGIC!r}", *guesses])


def _alignment(path: Path, metadata: dict[str, Value], types: dict[str, FieldType]) -> int:
    alignment = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if types.get(ALIGNMENT_KEY, FieldType(ValueType.UINT32)).value is not ValueType.UINT32:
        raise GGUFError(f"{path}: metadata key {ALIGNMENT_KEY!r} has type {types[ALIGNMENT_KEY]}; allowed is uint32")
    if not isinstance(alignment, int) or alignment.bit_count() != 1:
        raise GGUFError(f"{path}: metadata key {ALIGNMENT_KEY!r} is {alignment}; allowed are powers of two")
    return alignment
