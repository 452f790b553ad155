"""Writing GGUF files: version 3, little-endian, tensor by tensor, so that a file of any size needs no memory.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from pyggml.errors import GGUFError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.encoding import Field, encoded_entry, encoded_string
from pyggml.gguf.own_types import KEY_PREFIX, own_type_fields
from pyggml.gguf.shard import ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC
from pyggml.gguf.tensors import MAX_DIMS, MAX_NAME_BYTES, padded
from pyggml.gguf.types import GGML_TYPES, GGMLType
from pyggml.gguf.values import ValueType

VERSION = 3

Chunks: TypeAlias = Iterable[npt.NDArray[np.uint8]]
Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a tensor's name, the bytes of tensors' data that are written, and how many there will be."""


@dataclass(frozen=True)
class OutputTensor:
    """A tensor to be written: `shape` in ggml's order, a row first; `chunks()` gives its bytes piece by piece.

    `own_type` describes a type that ggml does not have; the metadata must name it.
    """

    name: str
    type_id: int
    shape: tuple[int, ...]
    chunks: Callable[[], Chunks]
    own_type: GGMLType | None = None

    @property
    def n_bytes(self) -> int:
        """The bytes its data take. Raises GGUFError for an unknown type or a row that is no whole number of blocks."""
        known = _known_type(self)
        return math.prod(self.shape) // known.block_size * known.block_bytes


def write_gguf(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Field],
    tensors: Sequence[OutputTensor],
    progress: Progress | None = None,
) -> None:
    """Write a file with this metadata and these tensors, in their orders; an existing one is replaced at the very end.

    Data are aligned to the key "general.alignment", 32 without it, and every tensor is padded with zeros.
    Raises GGUFError (file, key or tensor, what was found, what is allowed), and then leaves nothing behind.
    """
    target = Path(path)
    head = encoded_head(target, metadata, tensors)
    alignment = _alignment(target, metadata)
    n_total = sum(tensor.n_bytes for tensor in tensors)
    n_done = 0
    with _replacing(target) as file:
        file.write(head)
        for tensor in tensors:
            n_written = 0
            for chunk in tensor.chunks():
                file.write(np.ascontiguousarray(chunk).data)
                n_written += chunk.nbytes
                if progress is not None:
                    progress(tensor.name, n_done + n_written, n_total)
            if n_written != tensor.n_bytes:
                raise GGUFError(
                    f"{target}: {n_written} bytes were given for tensor {quoted(tensor.name)}; its type and shape need "
                    f"{tensor.n_bytes}"
                )
            file.write(bytes(padded(n_written, alignment) - n_written))
            n_done += n_written


def encoded_head(path: Path, metadata: Mapping[str, Field], tensors: Sequence[OutputTensor]) -> bytes:
    """Everything before the data: preamble, metadata, list of tensors, padding. `path` is for messages.

    Raises GGUFError for what the format cannot hold.
    """
    alignment = _alignment(path, metadata)
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    for key, field in metadata.items():
        try:
            parts.append(encoded_entry(key, field))
        except ValueError as error:
            raise GGUFError(f"{path}: metadata key {quoted(key)} cannot be written: {error}") from None
    offset = 0
    names: set[str] = set()
    for tensor in tensors:
        _check(path, tensor, metadata)
        if tensor.name in names:
            raise GGUFError(f"{path}: tensor {quoted(tensor.name)} is given twice; each name may appear once")
        names.add(tensor.name)
        dims = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        parts += [encoded_string(tensor.name), dims, struct.pack("<IQ", tensor.type_id, offset)]
        offset += padded(tensor.n_bytes, alignment)
    head = b"".join(parts)
    # llama.cpp pads the head of a file without tensors too.
    return head + bytes(padded(len(head), alignment) - len(head))


def _alignment(path: Path, metadata: Mapping[str, Field]) -> int:
    field = metadata.get(ALIGNMENT_KEY)
    if field is None:
        return DEFAULT_ALIGNMENT
    value = field.value
    if field.type.value is not ValueType.UINT32 or not isinstance(value, int) or value < 1 or value & (value - 1):
        raise GGUFError(
            f"{path}: metadata key {ALIGNMENT_KEY!r} is {value} of type {field.type}; allowed are powers of two of "
            "type uint32"
        )
    return value


def _check(path: Path, tensor: OutputTensor, metadata: Mapping[str, Field]) -> None:
    n_name_bytes = len(tensor.name.encode())
    if n_name_bytes > MAX_NAME_BYTES:
        raise GGUFError(
            f"{path}: the name of tensor {quoted(tensor.name)} has {n_name_bytes} bytes; allowed are {MAX_NAME_BYTES}"
        )
    if not 1 <= len(tensor.shape) <= MAX_DIMS or min(tensor.shape) < 0:
        raise GGUFError(
            f"{path}: tensor {quoted(tensor.name)} has the shape {tensor.shape}; allowed are 1 to {MAX_DIMS} dimensions"
        )
    known = _known_type(tensor)
    if tensor.own_type and not own_type_fields([known]).keys() <= metadata.keys():
        raise GGUFError(
            f"{path}: tensor {quoted(tensor.name)} has the format {known.name}, which is none of ggml's; the metadata "
            f"must name it with the key {KEY_PREFIX + known.name!r}"
        )
    if tensor.shape[0] % known.block_size:
        raise GGUFError(
            f"{path}: tensor {quoted(tensor.name)} of type {known.name} has rows of {tensor.shape[0]} elements; "
            f"allowed are multiples of {known.block_size}, the size of a block"
        )


def _known_type(tensor: OutputTensor) -> GGMLType:
    known = tensor.own_type or GGML_TYPES.get(tensor.type_id)
    if known is None:
        raise GGUFError(
            f"tensor {quoted(tensor.name)} has type {tensor.type_id}, whose blocks are unknown here; allowed are "
            f"{', '.join(each.name for each in GGML_TYPES.values())}"
        )
    return known


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file beside the target that takes its place when all went well, and is removed when not."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        try:
            with temporary.open("xb") as file:
                yield file
            temporary.replace(target)
        except OSError as error:
            raise GGUFError(f"{target}: the file cannot be written: {error.strerror or error}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
