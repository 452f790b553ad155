"""Split GGUF files, `name-00001-of-00003.gguf`: from any shard to all of them, checked against one another."""

from itertools import islice
from pathlib import Path

from pyggml.errors import GGUFError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.fields import Fields
from pyggml.gguf.shard import Shard, read_shard
from pyggml.gguf.tensors import TensorInfo

NUMBER_KEY = "split.no"
COUNT_KEY = "split.count"
TENSORS_KEY = "split.tensors.count"
MAX_SHARDS = 65535

_MAX_NAMED = 4


def read_shards(path: Path) -> tuple[Shard, ...]:
    """Read the file and, if it is a shard of a split one, all the others beside it; return them in their order.

    Raises GGUFError if a shard is missing, or does not belong to the others.
    """
    named = read_shard(path)
    fields = Fields(path, named.metadata)
    n_shards = fields.get(COUNT_KEY, int, 1, low=0, high=MAX_SHARDS)
    if n_shards <= 1:
        return (named,)
    number = fields.require(NUMBER_KEY, int, low=0, high=n_shards - 1)
    _check_presence(path, number, n_shards)
    shards = tuple(
        named if index == number else read_shard(_shard_path(path, number, index, n_shards))
        for index in range(n_shards)
    )
    for index, shard in enumerate(shards):
        _check_shard(shard, index, named, n_shards)
    _check_n_tensors(shards)
    return shards


def merged_tensors(shards: tuple[Shard, ...]) -> dict[str, TensorInfo]:
    """The tensors of all shards, in their order. Raises GGUFError if two shards have one of the same name."""
    tensors: dict[str, TensorInfo] = {}
    for shard in shards:
        for name, info in shard.tensors.items():
            if name in tensors:
                raise GGUFError(f"{shard.path}: tensor {quoted(name)} is in {tensors[name].path} as well")
            tensors[name] = info
    return tensors


def shard_suffix(index: int, n_shards: int) -> str:
    """What the name of a shard ends in; `index` counts from 0, the name from 1."""
    return f"-{index + 1:05d}-of-{n_shards:05d}.gguf"


def _shard_path(path: Path, number: int, index: int, n_shards: int) -> Path:
    return path.with_name(path.name.removesuffix(shard_suffix(number, n_shards)) + shard_suffix(index, n_shards))


def _check_presence(path: Path, number: int, n_shards: int) -> None:
    suffix = shard_suffix(number, n_shards)
    if not path.name.endswith(suffix):
        raise GGUFError(
            f"{path}: this is shard {number + 1} of {n_shards} of a split model; its name must end in {suffix!r} for "
            "the others to be found: give all shards the names they had"
        )
    paths = (_shard_path(path, number, index, n_shards) for index in range(n_shards))
    # Only the first few: a damaged count must not make us look for thousands.
    missing = [shard_path.name for shard_path in islice((each for each in paths if not each.exists()), _MAX_NAMED)]
    if missing:
        more = ", and perhaps more" if len(missing) == _MAX_NAMED else ""
        raise GGUFError(
            f"{path}: this is shard {number + 1} of {n_shards}; beside it these are missing: "
            f"{', '.join(missing)}{more}: put all shards into one directory"
        )


def _check_shard(shard: Shard, index: int, named: Shard, n_shards: int) -> None:
    fields = Fields(shard.path, shard.metadata)
    problem = f"{shard.path}: this is no shard of the same model as {named.path}: "
    number = fields.require(NUMBER_KEY, int)
    if number != index:
        raise GGUFError(f"{problem}metadata key {NUMBER_KEY!r} is {number}; by its name allowed is {index}")
    count = fields.get(COUNT_KEY, int, n_shards)
    if count != n_shards:
        raise GGUFError(f"{problem}metadata key {COUNT_KEY!r} is {count}; allowed is {n_shards}")
    if shard.byte_order != named.byte_order:
        raise GGUFError(f"{problem}it is {shard.byte_order}-endian; allowed is {named.byte_order}-endian")


def _check_n_tensors(shards: tuple[Shard, ...]) -> None:
    n_found = sum(len(shard.tensors) for shard in shards)
    for shard in shards:
        n_tensors = Fields(shard.path, shard.metadata).get(TENSORS_KEY, int, n_found)
        if n_tensors != n_found:
            raise GGUFError(
                f"{shard.path}: metadata key {TENSORS_KEY!r} is {n_tensors}, but the {len(shards)} shards hold "
                f"{n_found} tensors: they are not all of one model"
            )
