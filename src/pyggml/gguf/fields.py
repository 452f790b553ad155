"""Typed access to metadata: a value of the kind that is needed, or an error that says what is there instead."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin, overload

import numpy as np

from pyggml.errors import GGUFError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.values import Value, as_list

T = TypeVar("T")
D = TypeVar("D")

_KIND_NAMES: Mapping[type, str] = MappingProxyType(
    {int: "an integer", float: "a floating-point number", bool: "a truth value", str: "a string", list: "an array"}
)


class Fields:
    """The metadata of the file `path`, read by key and kind.

    A kind is `int`, `float`, `bool`, `str`, `list` (any array) or `list[int]` and so on (an array of just those).
    An integer is never taken for a float, a truth value never for an integer; a float is always finite.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Value]) -> None:
        """Give access to these values; `path` is for messages."""
        self.path = path
        self.metadata = metadata

    @overload
    def require(self, key: str, kind: type[bool]) -> bool: ...
    @overload
    def require(self, key: str, kind: type[int], *, low: int | None = None, high: int | None = None) -> int: ...
    @overload
    def require(self, key: str, kind: type[float], *, low: float | None = None, high: float | None = None) -> float: ...
    @overload
    def require(self, key: str, kind: type[str]) -> str: ...
    @overload
    def require(self, key: str, kind: type[list[T]]) -> list[T]: ...
    def require(self, key: str, kind: type, *, low: float | None = None, high: float | None = None) -> Any:
        """The value of a key, which must be there, be of that kind and, if a number, from `low` to `high`.

        Raises GGUFError otherwise.
        """
        if key not in self.metadata:
            raise GGUFError(f"{self.path}: the metadata lack the key {quoted(key)}, which must be {_kind_name(kind)}")
        return self._checked(key, kind, low, high)

    @overload
    def get(self, key: str, kind: type[bool], default: D) -> bool | D: ...
    @overload
    def get(
        self, key: str, kind: type[int], default: D, *, low: int | None = None, high: int | None = None
    ) -> int | D: ...
    @overload
    def get(
        self, key: str, kind: type[float], default: D, *, low: float | None = None, high: float | None = None
    ) -> float | D: ...
    @overload
    def get(self, key: str, kind: type[str], default: D) -> str | D: ...
    @overload
    def get(self, key: str, kind: type[list[T]], default: D) -> list[T] | D: ...
    def get(self, key: str, kind: type, default: object, *, low: float | None = None, high: float | None = None) -> Any:
        """Like `require`, but give the default if the key is absent. A value of the wrong kind is still an error."""
        return self._checked(key, kind, low, high) if key in self.metadata else default

    def _checked(self, key: str, kind: type, low: float | None, high: float | None) -> Any:
        value = self.metadata[key]
        if (get_origin(kind) or kind) is list:
            return self._checked_list(key, kind, value)
        # Not isinstance: for Python a truth value is an integer.
        if type(value) is not kind:
            raise self._error(key, value, _kind_name(kind))
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(key, value, "a finite number")
        if isinstance(value, (int, float)) and not _is_within(value, low, high):
            raise self._error(key, value, _range_name(low, high))
        return value

    def _checked_list(self, key: str, kind: type, value: Value) -> list[Any]:
        if not isinstance(value, (list, np.ndarray)):
            raise self._error(key, value, _kind_name(kind))
        elements = as_list(value)
        allowed = get_args(kind)
        if allowed and not {type(element) for element in elements} <= set(allowed):
            raise self._error(key, value, _kind_name(kind))
        return elements

    def _error(self, key: str, value: Value, allowed: str) -> GGUFError:
        return GGUFError(f"{self.path}: metadata key {quoted(key)} is {_described(value)}; allowed is {allowed}")


def _is_within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _range_name(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def _kind_name(kind: type) -> str:
    name = _KIND_NAMES[get_origin(kind) or kind]
    return " of ".join([name, *(element.__name__ for element in get_args(kind))])


def _described(value: Value) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {len(value)} {value.dtype}"
    if isinstance(value, list):
        return f"an array of {len(value)} {'strings' if value and isinstance(value[0], str) else 'elements'}"
    return f"the string {quoted(value)}" if isinstance(value, str) else str(value)
