"""GGUFFile: a model file, or all shards of a split one, as the rest of pyggml sees it."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np
import numpy.typing as npt

from pyggml.errors import GGUFError
from pyggml.gguf.cursor import ByteOrder, quoted
from pyggml.gguf.fields import Fields
from pyggml.gguf.shard import Shard
from pyggml.gguf.split import merged_tensors, read_shards
from pyggml.gguf.tensors import TensorInfo
from pyggml.gguf.types import GGML_TYPES
from pyggml.gguf.values import FieldType


class GGUFFile(Fields):
    """A GGUF file, checked and mapped into memory. Use it as a context manager, or call `close`.

    - `path`: the file with the metadata: the first shard of a split file. `paths`: all shards, in their order.
    - `version` of the format, `byte_order`, `alignment` of the tensors' data: those of `path`.
    - `metadata`, `metadata_types`: values and types by key, those of `path`. `require` and `get` read them by kind.
    - `tensors`: what the file says of each tensor, by name, in the order of the file.
    """

    paths: tuple[Path, ...]
    version: int
    byte_order: ByteOrder
    alignment: int
    metadata_types: Mapping[str, FieldType]
    tensors: Mapping[str, TensorInfo]

    def __init__(self, shards: tuple[Shard, ...]) -> None:
        """Join shards that were read and checked; `GGUFFile.open` does all of it."""
        first = shards[0]
        super().__init__(first.path, MappingProxyType(first.metadata))
        self.paths = tuple(shard.path for shard in shards)
        self.version = first.version
        self.byte_order = first.byte_order
        self.alignment = first.alignment
        self.metadata_types = MappingProxyType(first.metadata_types)
        self.tensors = MappingProxyType(merged_tensors(shards))
        self._shards = {shard.path: shard for shard in shards}

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "GGUFFile":
        """Open a file, with all other shards if it is one of a split file.

        Everything but the tensors' data is read and checked. Raises GGUFError (file, place, what was found, what is
        allowed) if any of it is missing or unsound.
        """
        return cls(read_shards(Path(path)))

    def tensor_bytes(self, name: str) -> npt.NDArray[np.uint8]:
        """The data of a tensor, `n_bytes` long: a read-only view of the memory map, not a copy.

        Raises GGUFError if there is no such tensor, its type is unknown, its numbers are big-endian, or the file was
        closed.
        """
        info = self.tensors.get(name)
        if info is None:
            raise GGUFError(f"{self.path}: there is no tensor {quoted(name)} among the {len(self.tensors)} of the file")
        known = GGML_TYPES.get(info.type_id)
        if known is None or info.n_bytes is None:
            raise GGUFError(
                f"{info.path}: tensor {quoted(name)} has type {info.type_id} ({info.type_name}), whose blocks are "
                f"unknown here; allowed are {', '.join(each.name for each in GGML_TYPES.values())}"
            )
        if self.byte_order == "big" and known.block_bytes > 1:
            raise GGUFError(
                f"{info.path}: the data of tensor {quoted(name)} are big-endian; allowed is little-endian: convert the "
                "file, as with gguf-convert-endian of the Python package gguf"
            )
        if info.path not in self._shards:
            raise GGUFError(f"{info.path}: tensor {quoted(name)} cannot be read: the file was closed")
        return self._shards[info.path].data[info.offset : info.offset + info.n_bytes]

    def release(self, name: str) -> None:
        """Let the operating system take back the memory of a tensor's pages; what reads them again reads the file."""
        info = self.tensors[name]
        if info.path in self._shards and info.n_bytes is not None:
            self._shards[info.path].release(info.offset, info.n_bytes)

    def close(self) -> None:
        """Let go of the memory map. It lives on as long as views of it do, so those stay valid."""
        self._shards.clear()

    def __enter__(self) -> "GGUFFile":
        """Return the file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()
