"""What quantizing a file will do: each tensor's new type and importance, the new metadata, the names of the files."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyggml.errors import QuantizeError
from pyggml.formats import Formats
from pyggml.gguf import GGMLType, GGUFFile, TensorInfo, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.fields import Fields
from pyggml.gguf.own_types import KEY_PREFIX, own_type_fields
from pyggml.gguf.split import COUNT_KEY, NUMBER_KEY, TENSORS_KEY, shard_suffix
from pyggml.gguf.splitting import fields_of
from pyggml.quantize.categories import TOKEN_EMBEDDING_NAMES
from pyggml.quantize.choice import TypeOptions, choose_types, in_order, requires_importance
from pyggml.quantize.file_types import FileType, guessed_file_type_number
from pyggml.quantize.hyperparameters import read_hyperparameters
from pyggml.quantize.importance import Importance
from pyggml_kernels.formats import Format
from pyggml_kernels.private_types import is_private_type

FILE_TYPE_KEY, VERSION_KEY = "general.file_type", "general.quantization_version"
#: The version of ggml's block formats.
QUANTIZATION_VERSION = 2
_MAX_OVERRIDE_BYTES = 127
_SPLIT_KEYS = (NUMBER_KEY, COUNT_KEY, TENSORS_KEY)


@dataclass(frozen=True)
class QuantizeOptions:
    """How to quantize; `overrides` of metadata are set in their order, and hold for the choice of types too.

    `keep_split` writes as many shards as the source has. `allow_requantize` lets quantized tensors be quantized again.
    `formats` are at hand besides ggml's.
    """

    types: TypeOptions = field(default_factory=TypeOptions)
    importance: Importance | None = None
    overrides: tuple[tuple[str, Field], ...] = ()
    allow_requantize: bool = False
    keep_split: bool = False
    formats: Formats = field(default_factory=Formats)


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor of the source, its new type, and the importance of its columns if there is any."""

    info: TensorInfo
    target: GGMLType
    importance: npt.NDArray[np.float32] | None
    requires_importance: bool

    @property
    def own_target(self) -> GGMLType | None:
        """The new type if it is none of ggml's."""
        return self.target if is_private_type(self.target.type_id) else None

    @property
    def is_converted(self) -> bool:
        """Whether its type changes."""
        return self.info.type_id != self.target.type_id

    @property
    def n_bytes(self) -> int:
        """The bytes its data will take."""
        return self.info.n_elements // self.target.block_size * self.target.block_bytes


@dataclass(frozen=True)
class PlannedFile:
    """A file that is to be written."""

    path: Path
    metadata: Mapping[str, Field]
    tensors: tuple[PlannedTensor, ...]


@dataclass(frozen=True)
class QuantizePlan:
    """All files that are to be written, the tensors in their orders."""

    source: GGUFFile
    options: QuantizeOptions
    files: tuple[PlannedFile, ...]
    formats: Mapping[int, Format]
    """Those that tensors have and get, by number."""

    @property
    def tensors(self) -> tuple[PlannedTensor, ...]:
        """The tensors of all files."""
        return tuple(tensor for file in self.files for tensor in file.tensors)

    @property
    def lacks_importance(self) -> tuple[str, ...]:
        """The names of tensors that would be useless without an importance matrix, and have none."""
        return tuple(
            each.info.name
            for each in self.tensors
            if each.is_converted and each.requires_importance and each.importance is None
        )


def plan_quantization(
    source: GGUFFile, target: str | os.PathLike[str], file_type: FileType, options: QuantizeOptions
) -> QuantizePlan:
    """Decide everything; nothing is written or computed yet. With `keep_split`, shards are named after the target.

    Raises QuantizeError for what cannot be quantized as asked, GGUFError for metadata that lack what the choice needs.
    """
    has_importance = options.importance is not None and bool(options.importance.columns)
    overrides = (*options.overrides, *(_importance_keys(options.importance) if options.importance else ()))
    metadata = {**source.metadata, **{key: each.value for key, each in overrides}}
    fields = Fields(source.path, metadata)
    order = list(source.tensors.values()) if options.keep_split else in_order(source.tensors.values())
    types = replace(options.types, has_importance=has_importance, own=options.formats.own_types)
    chosen = choose_types(order, read_hyperparameters(fields), file_type, types)
    tensors = [_planned(each, chosen[each.name], file_type, options.importance) for each in order]
    number = file_type.number
    if file_type.is_copy:
        type_names = [each.type_name for each in in_order(source.tensors.values())]
        number = fields.get(FILE_TYPE_KEY, int, guessed_file_type_number(type_names))
    own = own_type_fields({each.own_target: None for each in tensors if each.own_target})
    head = _metadata(source, number, overrides) | own
    files = [PlannedFile(Path(target), head, tuple(tensors))]
    if options.keep_split:
        files = _shards(source, Path(target), head, own, tensors)
    return QuantizePlan(source, options, tuple(files), _formats(source, options.formats, tensors))


def _formats(source: GGUFFile, given: Formats, tensors: Sequence[PlannedTensor]) -> Mapping[int, Format]:
    """ggml's and those that tensors have or get. Raises FormatError for one that does not fit the source."""
    targets = {each.target.name for each in tensors}
    wanted = [each for each in given.own if each.name in targets]
    return Formats.of([*wanted, *given.for_file(source).own]).by_number


def _planned(info: TensorInfo, target: GGMLType, file_type: FileType, importance: Importance | None) -> PlannedTensor:
    values = importance.columns.get(info.name) if importance and info.type_id != target.type_id else None
    n_needed = info.shape[0] * (info.shape[2] if len(info.shape) > 2 else 1)
    if importance and values is not None and values.size != n_needed:
        if info.name not in TOKEN_EMBEDDING_NAMES:
            raise QuantizeError(
                f"{importance.path}: the importance of {info.name!r} has {values.size} values; the tensor of shape "
                f"{info.shape} needs {n_needed}: was it measured with another model?"
            )
        # That of the embeddings never fits where they are looked up, not multiplied with.
        values = None
    return PlannedTensor(info, target, values, requires_importance(info.name, target.name, file_type))


def _importance_keys(importance: Importance) -> list[tuple[str, Field]]:
    if not importance.columns:
        return []
    keys = [("quantize.imatrix.file", string_field(_cut(importance.path)))]
    if importance.datasets:
        keys.append(("quantize.imatrix.dataset", string_field(_cut(importance.datasets[0]))))
    keys.append(("quantize.imatrix.entries_count", number_field(ValueType.UINT32, len(importance.columns))))
    if importance.n_chunks > 0:
        keys.append(("quantize.imatrix.chunks_count", number_field(ValueType.UINT32, importance.n_chunks)))
    return keys


def _cut(text: str) -> str:
    return text.encode()[:_MAX_OVERRIDE_BYTES].decode(errors="ignore")


def _metadata(source: GGUFFile, number: int, overrides: Sequence[tuple[str, Field]]) -> dict[str, Field]:
    """The source's metadata; what is set anew moves to the end."""
    metadata = {
        key: each
        for key, each in fields_of(source).items()
        if key not in _SPLIT_KEYS and not key.startswith(KEY_PREFIX)
    }
    version = (VERSION_KEY, number_field(ValueType.UINT32, QUANTIZATION_VERSION))
    for key, each in (version, (FILE_TYPE_KEY, number_field(ValueType.UINT32, number)), *overrides):
        metadata.pop(key, None)
        metadata[key] = each
    return metadata


def _shards(
    source: GGUFFile, target: Path, head: dict[str, Field], own: dict[str, Field], tensors: Sequence[PlannedTensor]
) -> list[PlannedFile]:
    n_shards = len(source.paths)
    prefix = target.name.removesuffix(".gguf")
    files = []
    for index, path in enumerate(source.paths):
        metadata = dict(head) if index == 0 else dict(own)
        if n_shards > 1:
            metadata[NUMBER_KEY] = number_field(ValueType.UINT16, index)
            metadata[COUNT_KEY] = number_field(ValueType.UINT16, n_shards)
            metadata[TENSORS_KEY] = number_field(ValueType.INT32, len(tensors))
        mine = tuple(each for each in tensors if each.info.path == path)
        files.append(PlannedFile(target.with_name(prefix + shard_suffix(index, n_shards)), metadata, mine))
    return files
