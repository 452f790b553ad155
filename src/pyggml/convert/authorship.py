"""Who made a model, what it is called, and how its makers would sample: the keys "general.*" of a GGUF file.

Found in the model card, config.json, generation_config.json and the name of the folder, in this order, as llama.cpp's
converter does it; a file given with `--metadata` goes before all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyggml.convert.checkpoint import Checkpoint
from pyggml.convert.json_object import JsonObject, read_json_object, read_optional_object
from pyggml.convert.model_card import read_model_card, sources, strings
from pyggml.convert.model_id import parse_model_id, rounded_count, title
from pyggml.errors import CheckpointError
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import FieldType, ValueType

#: Ours and those of generation_config.json, which has one under two names.
_SAMPLING = {
    "sequence": (str, ("sequence",)),
    "top_k": (int, ("top_k",)),
    "top_p": (float, ("top_p",)),
    "min_p": (float, ("min_p",)),
    "xtc_probability": (float, ("xtc_probability",)),
    "xtc_threshold": (float, ("xtc_threshold",)),
    "temp": (float, ("temperature",)),
    "penalty_last_n": (int, ("penalty_last_n",)),
    "penalty_repeat": (float, ("penalty_repeat", "repetition_penalty")),
    "mirostat": (int, ("mirostat",)),
    "mirostat_tau": (float, ("mirostat_tau",)),
    "mirostat_eta": (float, ("mirostat_eta",)),
}
#: Ours, in the order of the file, and the keys of a model card, the first that is there.
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "model_name"),
    "author": ("author", "model_author", "model_creator"),
    "version": ("version", "model_version"),
    "organization": ("organization", "model_organization"),
    "finetune": ("finetune", "model_finetune"),
    "basename": ("basename", "model_basename", "model_type"),
    "description": ("description", "model_description"),
    "quantized_by": (),
    "size_label": ("size_label", "model_size_label"),
    "license": ("license",),
    "license.name": ("license_name",),
    "license.link": ("license_link",),
    "url": (),
    "doi": (),
    "uuid": (),
    "repo_url": (),
    "source.url": ("url", "model_url"),
    "source.doi": ("doi", "model_doi"),
    "source.uuid": ("uuid", "model_uuid"),
    "source.repo_url": ("repo_url", "model_repo_url"),
}
_OVERRIDABLE = tuple(key for key in _TEXTS if key != "license")
_ARRAYS = {"tags": ("tags", "pipeline_tag"), "languages": ("languages", "language")}
_SOURCES = {
    "base_model": ("base_models", ("base_model", "base_models", "base_model_sources")),
    "dataset": ("datasets", ("datasets", "dataset", "dataset_sources")),
}
_SOURCE_KEYS = ("name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url")
_NUMBER_TYPES = {int: ValueType.INT32, float: ValueType.FLOAT32}


@dataclass(frozen=True)
class Authorship:
    """What was found: sampling, texts and arrays by our keys, and models and data sets it came from."""

    sampling: Mapping[str, Any]
    texts: Mapping[str, str]
    arrays: Mapping[str, list[str]]
    sources: Mapping[str, list[dict[str, Any]]]


def find_authorship(checkpoint: Checkpoint, n_weights: int, overrides: Path | None, name: str | None) -> Authorship:
    """Everything that is known; `name`, if given, goes before all others. `n_weights` is 0 for a vocabulary alone.

    Raises CheckpointError for files that are unsound or hold values of another kind.
    """
    card = read_model_card(checkpoint.folder)
    given = _read_overrides(overrides)
    sampling = _read_sampling(read_optional_object(checkpoint.folder / "generation_config.json"), given)
    texts = {key: text for key in _TEXTS if (text := _card_text(card, key)) is not None}
    for model_id in _model_ids(checkpoint):
        parts = parse_model_id(model_id, n_weights)
        for key, value in (
            ("name", parts.name and title(parts.name)),
            ("organization", parts.organization and title(parts.organization)),
            ("basename", parts.basename),
            ("finetune", parts.finetune),
            ("version", parts.version),
            ("size_label", parts.size_label),
        ):
            if value and key not in texts:
                texts[key] = value
    texts |= {key: text for key in _OVERRIDABLE if (text := given.get(f"general.{key}", str, None)) is not None}
    texts["name"] = texts.get("name", checkpoint.folder.name) if name is None else name
    if "size_label" not in texts and n_weights:
        texts["size_label"] = rounded_count(n_weights)
    arrays = {key: given.list_of(f"general.{key}", str) or strings(card, keys) for key, keys in _ARRAYS.items()}
    return Authorship(sampling, texts, arrays, _read_sources(card, given))


def authorship_fields(found: Authorship) -> Iterator[tuple[str, Field]]:
    """The keys in the order of llama.cpp's converter, which leaves out what is empty."""
    for key, (kind, _) in _SAMPLING.items():
        if key in found.sampling:
            value = found.sampling[key]
            yield f"general.sampling.{key}", string_field(value) if kind is str else _number(kind, value)
    for key in _TEXTS:
        if found.texts.get(key):
            yield f"general.{key}", string_field(found.texts[key])
    for key, entries in found.sources.items():
        yield f"general.{key}.count", number_field(ValueType.UINT32, len(entries))
        for index, entry in enumerate(entries):
            for inner in _SOURCE_KEYS:
                if entry.get(inner):
                    yield f"general.{key}.{index}.{inner}", string_field(str(entry[inner]))
    for key, values in found.arrays.items():
        if values:
            yield f"general.{key}", Field(FieldType(ValueType.ARRAY, ValueType.STRING), values)


def _number(kind: type, value: float) -> Field:
    return number_field(_NUMBER_TYPES[kind], value)


def _read_overrides(path: Path | None) -> JsonObject:
    if path is None:
        return JsonObject(Path(), {})
    given = read_json_object(path)
    allowed = {
        *(f"general.sampling.{key}" for key in _SAMPLING),
        *(f"general.{key}" for key in (*_OVERRIDABLE, *_ARRAYS)),
        *(f"general.{key}" for key, _ in _SOURCES.values()),
    }
    unknown = sorted(given.values.keys() - allowed)
    if unknown:
        raise CheckpointError(f"{path}: the key {unknown[0]!r} cannot be set; allowed are {', '.join(sorted(allowed))}")
    return given


def _read_sampling(generation: JsonObject, given: JsonObject) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, (kind, names) in _SAMPLING.items():
        for source, candidates in ((generation, names), (given, (f"general.sampling.{key}",))):
            present = [name for name in candidates if source.values.get(name) is not None]
            if present:
                found[key] = source.require(present[0], kind)
    return found


def _card_text(card: JsonObject, key: str) -> str | None:
    if key == "license" and isinstance(card.values.get(key), list):
        return ",".join(card.list_of(key, str))
    name = next((name for name in _TEXTS[key] if card.values.get(name) is not None), None)
    return None if name is None else card.require(name, str)


def _model_ids(checkpoint: Checkpoint) -> Iterator[str]:
    """Names that may tell something: that under which the model was published, if it is no path, and the folder's."""
    published = checkpoint.config.get("_name_or_path", str, "")
    if published and published.count("/") <= 1:
        yield published
    yield checkpoint.folder.name


def _read_sources(card: JsonObject, given: JsonObject) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for key, (override, names) in _SOURCES.items():
        entries = sources(card, names)
        if f"general.{override}" in given.values:
            entries = given.list_of(f"general.{override}", dict)
        if entries is not None:
            found[key] = entries
    return found
