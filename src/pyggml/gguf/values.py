"""The metadata of a GGUF file: its types of values, and reading them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyggml.gguf.cursor import Cursor, quoted

Value: TypeAlias = int | float | bool | str | list[Any] | npt.NDArray[np.generic]
"""A value of the metadata. An array of numbers or truth values is a read-only NumPy array, any other array a list."""

MAX_ARRAY_DEPTH = 8

# A key of one character, the number of its type and a value of one byte.
MIN_ENTRY_BYTES = 8 + 1 + 4 + 1
# The number of the element type and the number of elements.
_MIN_ARRAY_BYTES = 4 + 8


class ValueType(IntEnum):
    """The types of metadata values, by their numbers in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a metadata value, and that of its elements if it is an array."""

    value: ValueType
    element: ValueType | None = None

    def __str__(self) -> str:
        """As in `uint32` or `array of string`."""
        name = self.value.name.lower()
        return name if self.element is None else f"{name} of {self.element.name.lower()}"


CODES: Mapping[ValueType, str] = MappingProxyType(
    {
        ValueType.UINT8: "B",
        ValueType.INT8: "b",
        ValueType.UINT16: "H",
        ValueType.INT16: "h",
        ValueType.UINT32: "I",
        ValueType.INT32: "i",
        ValueType.FLOAT32: "f",
        ValueType.BOOL: "?",
        ValueType.UINT64: "Q",
        ValueType.INT64: "q",
        ValueType.FLOAT64: "d",
    }
)
"""The codes under which `struct` and NumPy know the scalar types."""


def as_list(value: Value) -> list[Any]:
    """An array of the metadata as a list of Python values, to any depth."""
    if isinstance(value, np.ndarray):
        numbers: list[Any] = value.tolist()
        return numbers
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} is not an array of the metadata")
    return [as_list(element) if isinstance(element, (list, np.ndarray)) else element for element in value]


def read_metadata(cursor: Cursor, n_entries: int) -> tuple[dict[str, Value], dict[str, FieldType]]:
    """Read so many keys with their values; return the values and their types, in the order of the file.

    Raises GGUFError for an empty or repeated key, an unknown type, and for values that are no sound value of theirs.
    """
    values: dict[str, Value] = {}
    types: dict[str, FieldType] = {}
    for index in range(n_entries):
        start = cursor.offset
        key = cursor.string(f"metadata key {index}")
        if not key:
            raise cursor.error(start, f"metadata key {index} is empty")
        if key in values:
            raise cursor.error(start, f"metadata key {index} repeats the key {quoted(key)}; each may appear once")
        what = f"the value of metadata key {quoted(key)}"
        value_type = _read_type(cursor, what)
        element = _read_type(cursor, f"an element of {what}") if value_type is ValueType.ARRAY else None
        types[key] = FieldType(value_type, element)
        values[key] = _read_scalar(cursor, value_type, what) if element is None else _read_array(cursor, element, what)
    return values, types


def _read_type(cursor: Cursor, what: str) -> ValueType:
    start = cursor.offset
    number = cursor.integer("I", f"the type of {what}")
    try:
        return ValueType(number)
    except ValueError:
        raise cursor.error(
            start, f"{what} has the unknown type {number}; allowed are 0 to {max(ValueType).value}"
        ) from None


def _read_scalar(cursor: Cursor, value_type: ValueType, what: str) -> Value:
    return cursor.string(what) if value_type is ValueType.STRING else cursor.scalar(CODES[value_type], what)


def _read_array(cursor: Cursor, element: ValueType, what: str, depth: int = 1) -> Value:
    if element is ValueType.STRING:
        return cursor.strings(what)
    if element is not ValueType.ARRAY:
        return cursor.array(CODES[element], what)
    if depth == MAX_ARRAY_DEPTH:
        raise cursor.error(cursor.offset, f"{what} has arrays nested more than {MAX_ARRAY_DEPTH} deep")
    arrays: list[Value] = []
    for _ in range(cursor.count(_MIN_ARRAY_BYTES, f"arrays in {what}")):
        inner = _read_type(cursor, f"an inner element of {what}")
        arrays.append(_read_array(cursor, inner, what, depth + 1))
    return arrays
