"""Checkpoints of PyTorch, `pytorch_model.bin`: an archive of a pickle that describes tensors, and of their storages.

Every entry is stored as it is, so that weights are read from their place in the archive, and no entry can unfold into
more than the file has.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pyggml.convert.source import DTYPES, SourceTensor, checked_source
from pyggml.convert.torch_pickle import Call, Name, Storage, read_pickle
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

_MAX_PICKLE_BYTES = 1 << 26
_DTYPES_BY_STORAGE = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Name("torch._utils", "_rebuild_parameter")
#: The head of an entry within the archive: its last two numbers are the lengths of the name and of what follows it.
_ENTRY_HEAD = struct.Struct("<4s22xHH")
_ENTRY_MAGIC = b"PK\x03\x04"


def read_torch(path: Path) -> dict[str, SourceTensor]:
    """The tensors of a file, by name, in its order. Nothing that the file says is run.

    Raises CheckpointError (file, tensor or entry, what was found, what is allowed) for whatever is unsound.
    """
    try:
        n_file_bytes = path.stat().st_size
        with path.open("rb") as file, ZipFile(file) as archive:
            entries = {each.filename: each for each in archive.infolist()}
            pickles = [name for name in entries if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise CheckpointError(f"{path}: the archive has {len(pickles)} entries data.pkl; allowed is one")
            prefix = pickles[0].removesuffix("data.pkl")
            start, n_bytes = _place(path, file, entries[pickles[0]], n_file_bytes)
            if n_bytes > _MAX_PICKLE_BYTES:
                raise CheckpointError(f"{path}: the pickle has {n_bytes} bytes; allowed are {_MAX_PICKLE_BYTES}")
            file.seek(start)
            described = read_pickle(path, file.read(n_bytes))
            storages = {
                name: _place(path, file, entry, n_file_bytes)
                for name, entry in entries.items()
                if name.startswith(f"{prefix}data/")
            }
    except (BadZipFile, NotImplementedError) as error:
        raise CheckpointError(
            f"{path}: this is no sound archive of PyTorch: {error}; it is damaged, or from before PyTorch 1.6: save it "
            "again, best as safetensors"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: the file cannot be read: {error.strerror or error}") from None
    if not isinstance(described, dict) or not all(isinstance(name, str) for name in described):
        raise CheckpointError(
            f"{path}: the pickle holds no dict of tensors by name: take a checkpoint of weights alone"
        )
    return {name: _source(path, name, value, prefix, storages) for name, value in described.items()}


def _place(path: Path, file: BinaryIO, entry: ZipInfo, n_file_bytes: int) -> tuple[int, int]:
    """Where in the file an entry's bytes begin, and how many there are."""
    if entry.compress_type != ZIP_STORED or entry.file_size != entry.compress_size:
        raise CheckpointError(
            f"{path}: the entry {quoted(entry.filename)} is compressed; torch.save stores entries as they are"
        )
    file.seek(entry.header_offset)
    head = file.read(_ENTRY_HEAD.size)
    magic, n_name, n_extra = _ENTRY_HEAD.unpack(head) if len(head) == _ENTRY_HEAD.size else (b"", 0, 0)
    start = entry.header_offset + _ENTRY_HEAD.size + n_name + n_extra
    if magic != _ENTRY_MAGIC or start + entry.file_size > n_file_bytes:
        raise CheckpointError(f"{path}: the entry {quoted(entry.filename)} lies outside of the file: it is damaged")
    return start, entry.file_size


def _source(path: Path, name: str, value: object, prefix: str, storages: dict[str, tuple[int, int]]) -> SourceTensor:
    match value:
        case Call(function, (Call() as inner, *_)) if function == _PARAMETER:
            return _source(path, name, inner, prefix, storages)
        case Call(function, (Storage(parts), int(offset), tuple(shape), tuple(strides), *_)) if function == _TENSOR:
            pass
        case _:
            raise CheckpointError(
                f"{path}: {quoted(name)} is no tensor but a {type(value).__name__}: take a checkpoint of weights alone"
            )
    dtype, key = _storage(path, name, parts)
    if not all(type(each) is int for each in (*shape, *strides)) or len(shape) != len(strides):
        raise CheckpointError(f"{path}: tensor {quoted(name)} has the shape {shape} and the strides {strides}")
    start, n_bytes = storages.get(f"{prefix}data/{key}", (0, -1))
    if n_bytes < 0:
        raise CheckpointError(f"{path}: the storage {quoted(key)} of tensor {quoted(name)} is missing in the archive")
    if not _is_contiguous(shape, strides):
        raise CheckpointError(
            f"{path}: tensor {quoted(name)} of shape {shape} has the strides {strides}; allowed are tensors in one "
            "piece: save it again after .contiguous(), best as safetensors"
        )
    item = DTYPES[dtype].itemsize if dtype in DTYPES else 1
    tensor = checked_source(name, path, dtype, shape, start + offset * item, start + n_bytes)
    if offset < 0:
        raise CheckpointError(f"{path}: tensor {quoted(name)} begins at weight {offset} of its storage")
    return tensor


def _storage(path: Path, name: str, parts: Any) -> tuple[str, str]:
    """The type and the key that a pickle gives for a storage."""
    match parts:
        case ("storage", Name("torch", kind), str(key), str(), int()) if kind in _DTYPES_BY_STORAGE:
            return _DTYPES_BY_STORAGE[kind], key
    raise CheckpointError(f"{path}: the storage of tensor {quoted(name)} is described in an unknown way")


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n > 1 and stride != expected:
            return False
        expected *= n
    return True
