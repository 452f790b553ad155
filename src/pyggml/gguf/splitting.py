"""From one GGUF file to shards, and back, with the names, keys and bytes of llama.cpp's gguf-split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyggml.errors import GGUFError, UsageError
from pyggml.gguf.encoding import Field, number_field
from pyggml.gguf.file import GGUFFile
from pyggml.gguf.own_types import KEY_PREFIX
from pyggml.gguf.shard import DEFAULT_ALIGNMENT
from pyggml.gguf.split import COUNT_KEY, MAX_SHARDS, NUMBER_KEY, TENSORS_KEY, shard_suffix
from pyggml.gguf.tensors import TensorInfo, padded, trimmed
from pyggml.gguf.values import ValueType
from pyggml.gguf.writer import Chunks, OutputTensor, Progress, encoded_head, write_gguf

DEFAULT_MAX_TENSORS = 128

# Bytes of a tensor that are copied at a time.
_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class SplitOptions:
    """When a new shard begins: after `max_tensors`, or, if `max_bytes` is given, before its tensors would exceed it.

    With `no_tensor_first` the first shard holds metadata alone. Raises UsageError for limits below 1.
    """

    max_tensors: int = DEFAULT_MAX_TENSORS
    max_bytes: int | None = None
    no_tensor_first: bool = False

    def __post_init__(self) -> None:
        """Check the limits."""
        if self.max_tensors < 1 or (self.max_bytes is not None and self.max_bytes < 1):
            raise UsageError(
                f"shards of at most {self.max_tensors} tensors or {self.max_bytes} bytes are not possible: at least 1"
            )


@dataclass(frozen=True)
class PlannedShard:
    """A file that splitting would write."""

    path: Path
    metadata: Mapping[str, Field]
    tensors: tuple[OutputTensor, ...]

    @property
    def n_bytes(self) -> int:
        """What gguf-split calls the size of a shard: its head and its tensors' data without their padding."""
        head = encoded_head(self.path, self.metadata, self.tensors)
        return len(head) + sum(tensor.n_bytes for tensor in self.tensors)


def plan_split(file: GGUFFile, prefix: str | os.PathLike[str], options: SplitOptions) -> list[PlannedShard]:
    """The shards `prefix-00001-of-0000N.gguf` of a file; nothing is written yet.

    Raises GGUFError if one would hold no tensors, which happens when the first tensor is larger than the limit, and for
    more shards than the format can count.
    """
    groups = _groups(list(file.tensors.values()), options)
    if len(groups) > MAX_SHARDS:
        raise GGUFError(f"{file.path}: it would take {len(groups)} shards; allowed are {MAX_SHARDS}: raise the limit")
    shards = []
    for index, group in enumerate(groups):
        metadata = fields_of(file) if index == 0 else own_fields(file)
        for key in (NUMBER_KEY, COUNT_KEY, TENSORS_KEY):
            metadata.pop(key, None)
        metadata[NUMBER_KEY] = number_field(ValueType.UINT16, index)
        metadata[TENSORS_KEY] = number_field(ValueType.INT32, len(file.tensors))
        metadata[COUNT_KEY] = number_field(ValueType.UINT16, len(groups))
        tensors = tuple(copied(file, info) for info in group)
        shards.append(PlannedShard(Path(f"{os.fspath(prefix)}{shard_suffix(index, len(groups))}"), metadata, tensors))
    return shards


def write_shards(shards: Sequence[PlannedShard], progress: Progress | None = None) -> None:
    """Write the files of a plan, one after another. Raises GGUFError for one that cannot be written."""
    for shard in shards:
        write_gguf(shard.path, shard.metadata, shard.tensors, progress)


def plan_merge(file: GGUFFile, target: str | os.PathLike[str]) -> PlannedShard:
    """One file with all tensors of a split one; nothing is written yet.

    It keeps the first shard's metadata, with "split.count" 0, which tells that there are no others.
    Raises GGUFError for a file that is not split, and if the target exists already.
    """
    if COUNT_KEY not in file.metadata:
        raise GGUFError(f"{file.path}: this is no split file: the metadata lack the key {COUNT_KEY!r}")
    if Path(target).exists():
        raise GGUFError(f"{target}: the file exists already: remove it, or give another name")
    metadata = fields_of(file)
    metadata.pop(COUNT_KEY)
    metadata[COUNT_KEY] = number_field(ValueType.UINT16, 0)
    return PlannedShard(Path(target), metadata, tuple(copied(file, info) for info in file.tensors.values()))


def fields_of(file: GGUFFile) -> dict[str, Field]:
    """The metadata of a file as they were stored."""
    return {key: Field(file.metadata_types[key], value) for key, value in file.metadata.items()}


def own_fields(file: GGUFFile) -> dict[str, Field]:
    """The metadata that name types which ggml does not have: each shard needs them."""
    return {key: field for key, field in fields_of(file).items() if key.startswith(KEY_PREFIX)}


def copied(file: GGUFFile, info: TensorInfo) -> OutputTensor:
    """A tensor as it is."""
    return OutputTensor(info.name, info.type_id, trimmed(info.shape), partial(_pieces, file, info.name), info.own_type)


def _pieces(file: GGUFFile, name: str) -> Chunks:
    data = file.tensor_bytes(name)
    return (data[start : start + _CHUNK_BYTES] for start in range(0, data.size, _CHUNK_BYTES))


def _groups(tensors: list[TensorInfo], options: SplitOptions) -> list[list[TensorInfo]]:
    groups: list[list[TensorInfo]] = [[], []] if options.no_tensor_first else [[]]
    n_bytes = 0
    for index, info in enumerate(tensors):
        size = padded(info.n_bytes or 0, DEFAULT_ALIGNMENT)
        if options.max_bytes is None:
            is_full = index > 0 and index % options.max_tensors == 0
        else:
            is_full = n_bytes + size > options.max_bytes
        if is_full and not groups[-1]:
            raise GGUFError(
                f"{info.path}: tensor {info.name!r} of {size} bytes does not fit into a shard of {options.max_bytes}: "
                "raise the limit"
            )
        if is_full:
            groups.append([])
            n_bytes = 0
        groups[-1].append(info)
        n_bytes += size
    return groups
