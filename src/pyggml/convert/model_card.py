"""What the model card of a checkpoint, README.md, tells at its head in YAML.

Keys: https://huggingface.co/docs/hub/model-cards, and those of llama.cpp's converter.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyggml.convert.json_object import JsonObject, read_text
from pyggml.convert.model_id import parse_model_id, title
from pyggml.errors import CheckpointError, MissingExtraError

_FENCE = "---"
_HUGGING_FACE_URL = re.compile(r"https?://huggingface.co/([^/]+/[^/]+)")
_SCHEMES = ("http://", "https://", "ssh://")


def read_model_card(folder: Path) -> JsonObject:
    """The head of README.md, empty if there is none.

    Raises CheckpointError if it is no object in YAML, and MissingExtraError if YAML cannot be read here.
    """
    path = folder / "README.md"
    lines = read_text(path).splitlines() if path.is_file() else []
    if not lines or lines[0] != _FENCE:
        return JsonObject(path, {})
    end = lines.index(_FENCE, 1) if _FENCE in lines[1:] else len(lines)
    # The language "no" is no truth value, and tabs are no YAML.
    text = ("\n".join(lines[1:end]) + "\n").replace("- no\n", '- "no"\n').replace("\t", "  ")
    try:
        import yaml
    except ImportError:
        raise MissingExtraError(
            f'{path}: the head of the model card is in YAML: install what reads it with pip install "pyggml[convert]"'
        ) from None
    try:
        values = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the head of the model card is no sound YAML: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{path}: the head of the model card is a {type(values).__name__}; allowed are keys with values"
        )
    return JsonObject(path, values)


def strings(card: JsonObject, keys: Iterable[str]) -> list[str]:
    """The texts under all of these keys, each one text or an array. Raises CheckpointError for anything else."""
    found: list[str] = []
    for key in keys:
        value = card.values.get(key)
        found += [value] if isinstance(value, str) else card.list_of(key, str)
    return found


def sources(card: JsonObject, keys: Iterable[str]) -> list[dict[str, Any]] | None:
    """The models or data sets under the first of these keys that there is, each with what its name tells.

    None if there is no such key. Raises CheckpointError for what is neither a name nor a description.
    """
    key = next((key for key in keys if key in card.values), None)
    if key is None:
        return None
    value = card.values[key]
    if value is None:
        return []
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(each, (str, dict)) for each in entries):
        raise card.error(key, "a name, an address, or an array of them")
    return [each if isinstance(each, dict) else _source(each) for each in entries]


def _source(name: str) -> dict[str, str]:
    """What an address or the name of a repository tells."""
    is_address = name.startswith(_SCHEMES)
    told: dict[str, str | None] = {"repo_url": name} if is_address else {}
    match = _HUGGING_FACE_URL.fullmatch(name)
    if match or not is_address:
        parts = parse_model_id(match[1] if match else name)
        told["name"] = title(parts.name) if parts.name else None
        told["organization"] = title(parts.organization) if parts.organization else None
        told["version"] = parts.version
        if not is_address and parts.organization and parts.name:
            told["repo_url"] = f"https://huggingface.co/{parts.organization}/{parts.name}"
    return {key: value for key, value in told.items() if value is not None}
