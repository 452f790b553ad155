"""Dividing a converted model among files, as llama.cpp's converter does; its gguf-split divides otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyggml.errors import UsageError
from pyggml.gguf.encoding import Field, number_field
from pyggml.gguf.split import COUNT_KEY, MAX_SHARDS, NUMBER_KEY, TENSORS_KEY, shard_suffix
from pyggml.gguf.splitting import PlannedShard
from pyggml.gguf.values import ValueType
from pyggml.gguf.writer import OutputTensor


@dataclass(frozen=True)
class ShardLimits:
    """When a new file begins: when it would have more tensors, or more bytes of them; 0 is no limit.

    A tensor that is too large has a file of its own. With `no_tensor_first` the first file holds metadata alone.
    """

    max_tensors: int = 0
    max_bytes: int = 0
    no_tensor_first: bool = False


def shards(
    path: Path, metadata: Mapping[str, Field], tensors: Sequence[OutputTensor], limits: ShardLimits
) -> list[PlannedShard]:
    """The files, `name-00001-of-0000N.gguf` if there are several; the first has all metadata.

    Raises UsageError if there would be more than the format can count.
    """
    groups = _groups(tensors, limits)
    n_shards = len(groups)
    if n_shards == 1:
        return [PlannedShard(path, metadata, tuple(tensors))]
    if n_shards > MAX_SHARDS:
        raise UsageError(f"{path}: it would take {n_shards} files; allowed are {MAX_SHARDS}: raise the limit")
    planned = []
    for index, group in enumerate(groups):
        own = {
            **(metadata if index == 0 else {}),
            NUMBER_KEY: number_field(ValueType.UINT16, index),
            COUNT_KEY: number_field(ValueType.UINT16, n_shards),
            TENSORS_KEY: number_field(ValueType.INT32, len(tensors)),
        }
        shard_path = path.with_name(path.stem + shard_suffix(index, n_shards))
        planned.append(PlannedShard(shard_path, own, tuple(group)))
    return planned


def _groups(tensors: Sequence[OutputTensor], limits: ShardLimits) -> list[list[OutputTensor]]:
    groups: list[list[OutputTensor]] = [[], []] if limits.no_tensor_first else [[]]
    n_bytes = 0
    for tensor in tensors:
        has_many = limits.max_tensors and len(groups[-1]) >= limits.max_tensors
        is_large = limits.max_bytes and n_bytes + tensor.n_bytes > limits.max_bytes
        if groups[-1] and (has_many or is_large):
            groups.append([])
            n_bytes = 0
        groups[-1].append(tensor)
        n_bytes += tensor.n_bytes
    return groups
