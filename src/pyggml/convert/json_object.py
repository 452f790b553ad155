"""JSON files of a checkpoint, read by key and kind: a value that is needed, or an error that says what is there."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

T = TypeVar("T")
D = TypeVar("D")

#: The largest tokenizers take a tenth of it.
_MAX_BYTES = 1 << 28
_KIND_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class JsonObject:
    """The object in a file, or one within it; a key whose value is null counts as absent."""

    def __init__(self, path: Path, values: Mapping[str, Any], place: str = "") -> None:
        """Give access to these values; `place` is the key, with a dot, under which they are in the file."""
        self.path = path
        self.values = values
        self._place = place

    def require(self, key: str, kind: type[T], *, low: float | None = None, high: float | None = None) -> T:
        """The value of a key, of this kind and, if a number, within these bounds. Raises CheckpointError.

        An integer does for a float.
        """
        value = self.values.get(key)
        if value is None:
            raise CheckpointError(f"{self.path}: the key {self._named(key)} is missing; it must be {_KIND_NAMES[kind]}")
        if kind is float and type(value) is int:
            value = float(value)
        # Not isinstance: for Python a truth value is an integer.
        if type(value) is not kind:
            raise self.error(key, _KIND_NAMES[kind])
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(key, "a finite number")
        if isinstance(value, (int, float)) and not (low is None or value >= low):
            raise self.error(key, f"at least {low}")
        if isinstance(value, (int, float)) and not (high is None or value <= high):
            raise self.error(key, f"at most {high}")
        return value

    def get(self, key: str, kind: type[T], default: D, *, low: float | None = None, high: float | None = None) -> T | D:
        """Like `require`, but give the default if the key is absent."""
        return default if self.values.get(key) is None else self.require(key, kind, low=low, high=high)

    def inner(self, key: str) -> "JsonObject":
        """The object under a key, empty if there is none. Raises CheckpointError for a value that is no object."""
        values: dict[str, Any] = self.get(key, dict, {})
        return JsonObject(self.path, values, f"{self._place}{key}.")

    def list_of(self, key: str, kind: type[T]) -> list[T]:
        """The array under a key, all of one kind, empty if there is none. Raises CheckpointError."""
        elements: list[Any] = self.get(key, list, [])
        if not {type(each) for each in elements} <= {kind}:
            raise self.error(key, f"an array in which each element is {_KIND_NAMES[kind]}")
        return elements

    def objects(self, key: str) -> list["JsonObject"]:
        """The array of objects under a key, empty if there is none. Raises CheckpointError."""
        return [
            JsonObject(self.path, each, f"{self._place}{key}[{index}].")
            for index, each in enumerate(self.list_of(key, dict))
        ]

    def error(self, key: str, allowed: str) -> CheckpointError:
        """What to raise for a value that is not as it must be."""
        # YAML knows dates, too.
        found = json.dumps(self.values.get(key), ensure_ascii=False, default=str)
        shown = found if len(found) <= 60 else f"{found[:60]}..."
        return CheckpointError(f"{self.path}: the key {self._named(key)} is {shown}; allowed is {allowed}")

    def _named(self, key: str) -> str:
        return quoted(self._place + key)


def read_json_object(path: Path) -> JsonObject:
    """The object that a file holds. Raises CheckpointError if it is missing, too large, or no object in JSON."""
    return JsonObject(path, parsed_object(path, read_bytes(path, _MAX_BYTES)))


def read_optional_object(path: Path) -> JsonObject:
    """Like `read_json_object`, but empty if there is no such file."""
    return read_json_object(path) if path.is_file() else JsonObject(path, {})


def parsed_object(path: Path, data: bytes, what: str = "the file") -> dict[str, Any]:
    """The object in JSON that these bytes are. Raises CheckpointError, which calls them `what`."""
    try:
        parsed = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {what} is no sound JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path}: {what} is of the kind {type(parsed).__name__}; allowed is an object in JSON")
    return parsed


def read_bytes(path: Path, n_max: int) -> bytes:
    """What a file holds. Raises CheckpointError if it is missing, or larger than `n_max`."""
    try:
        n_bytes = path.stat().st_size
        if n_bytes > n_max:
            raise CheckpointError(f"{path}: the file has {n_bytes} bytes; allowed are {n_max}")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: the file cannot be read: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """The text that a file holds. Raises CheckpointError if it is missing, too large, or not in UTF-8."""
    try:
        return read_bytes(path, _MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: the file is not in UTF-8: {error}") from None
