"""From a checkpoint to GGUF files: what will be in them, and writing it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyggml.convert.authorship import Authorship, authorship_fields, find_authorship
from pyggml.convert.checkpoint import Checkpoint, open_checkpoint
from pyggml.convert.file_names import default_name, filled_name
from pyggml.convert.model_tensor import ModelTensor
from pyggml.convert.shards import ShardLimits, shards
from pyggml.convert.storing import OUTPUT_TYPES, OutputType, same_precision, stored
from pyggml.convert.text_config import TextConfig, late_text_fields, read_text_config, text_fields
from pyggml.convert.text_tensors import text_sources, text_tensors
from pyggml.convert.tokenizer_files import TokenizerFiles
from pyggml.convert.vision import read_vision_config, vision_fields, vision_sources, vision_tensors
from pyggml.convert.vocabulary import vocabulary_fields
from pyggml.errors import UsageError
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.splitting import PlannedShard
from pyggml.gguf.values import ValueType

#: The version of ggml's block formats.
_QUANTIZATION_VERSION = 2


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert.

    - `output_type`: a name of OUTPUT_TYPES; None is that of the checkpoint, F16 if that has neither F16 nor BF16.
    - `keeps_float32`: with None, take F32 for a checkpoint in F32 instead.
    - `file_type_name`: what the file is named after instead of its type.
    - `is_vision`: the vision tower alone. `is_vocabulary_only`: metadata without tensors.
    - `metadata`: a JSON file of keys "general.*" that go before what the checkpoint says; `name` goes before that.
    - `pre_tokenizer`: a name to take instead of recognizing the pre-tokenizer.
    """

    output_type: str | None = None
    keeps_float32: bool = False
    file_type_name: str | None = None
    is_vision: bool = False
    is_vocabulary_only: bool = False
    metadata: Path | None = None
    name: str | None = None
    pre_tokenizer: str | None = None
    limits: ShardLimits = field(default_factory=ShardLimits)


def plan_conversion(folder: Path, target: str | os.PathLike[str] | None, options: ConvertOptions) -> list[PlannedShard]:
    """The files that converting would write; `write_shards` writes them.

    A `target` that is a folder, or None for that of the checkpoint, gets a file named as by llama.cpp's converter; in
    any other, "{ftype}" stands for the type. Raises CheckpointError for whatever is unsound, missing or unknown.
    """
    if options.is_vision and options.is_vocabulary_only:
        raise UsageError("--mmproj and --vocab-only exclude each other: a vision tower has no vocabulary")
    checkpoint = open_checkpoint(folder, needs_weights=not options.is_vocabulary_only)
    kind = _output_type(checkpoint, options)
    content = _vision_content if options.is_vision else _text_content
    metadata, tensors, authorship = content(checkpoint, kind, options)
    path = _path(checkpoint, target, authorship, kind, options)
    return shards(path, metadata, [stored(tensor, kind) for tensor in tensors], options.limits)


def _output_type(checkpoint: Checkpoint, options: ConvertOptions) -> OutputType:
    if options.output_type is not None:
        return OUTPUT_TYPES[options.output_type]
    sources = vision_sources(checkpoint) if options.is_vision else text_sources(checkpoint)
    return same_precision(sources.values(), with_float32=options.keeps_float32)


_Content = tuple[dict[str, Field], Sequence[ModelTensor], Authorship]


def _text_content(checkpoint: Checkpoint, kind: OutputType, options: ConvertOptions) -> _Content:
    config = read_text_config(checkpoint.config)
    tensors = [] if options.is_vocabulary_only else text_tensors(checkpoint, config)
    authorship = _authorship(checkpoint, tensors, options)
    metadata = {"general.architecture": string_field(config.architecture), "general.type": string_field("model")}
    metadata |= authorship_fields(authorship)
    metadata |= _text_keys(checkpoint, config, kind, options)
    return metadata, tensors, authorship


def _text_keys(
    checkpoint: Checkpoint, config: TextConfig, kind: OutputType, options: ConvertOptions
) -> Iterator[tuple[str, Field]]:
    yield from text_fields(config)
    yield _file_type(kind)
    yield from late_text_fields(config)
    yield _version()
    yield from vocabulary_fields(TokenizerFiles(checkpoint), config, options.pre_tokenizer)


def _vision_content(checkpoint: Checkpoint, kind: OutputType, options: ConvertOptions) -> _Content:
    config = read_vision_config(checkpoint.config)
    tensors = vision_tensors(checkpoint, config)
    authorship = _authorship(checkpoint, tensors, options)
    metadata = {"general.architecture": string_field("clip"), "general.type": string_field("mmproj")}
    metadata |= authorship_fields(authorship)
    metadata |= [_file_type(kind), *vision_fields(checkpoint, config), _version()]
    return metadata, tensors, authorship


def _authorship(checkpoint: Checkpoint, tensors: Sequence[ModelTensor], options: ConvertOptions) -> Authorship:
    n_weights = sum(tensor.n_weights for tensor in tensors)
    return find_authorship(checkpoint, n_weights, options.metadata, options.name)


def _file_type(kind: OutputType) -> tuple[str, Field]:
    return "general.file_type", number_field(ValueType.UINT32, kind.number)


def _version() -> tuple[str, Field]:
    return "general.quantization_version", number_field(ValueType.UINT32, _QUANTIZATION_VERSION)


def _path(
    checkpoint: Checkpoint,
    target: str | os.PathLike[str] | None,
    authorship: Authorship,
    kind: OutputType,
    options: ConvertOptions,
) -> Path:
    given = checkpoint.folder if target is None else Path(target)
    type_name = options.file_type_name or kind.name
    if not given.is_dir():
        return given.with_name(filled_name(given.name, type_name))
    texts = authorship.texts
    if options.is_vocabulary_only:
        return given / default_name(texts, None, "vocab")
    if options.is_vision:
        return given / f"mmproj-{default_name({**texts, 'size_label': ''}, type_name)}"
    return given / default_name(texts, type_name)
