"""Metadata of a GGUF file from values to bytes."""

import struct
from dataclasses import dataclass

import numpy as np

from pyggml.gguf.values import CODES, MAX_ARRAY_DEPTH, FieldType, Value, ValueType


@dataclass(frozen=True)
class Field:
    """A value of the metadata and the type under which it is stored."""

    type: FieldType
    value: Value


def encoded_entry(key: str, field: Field) -> bytes:
    """A key with the type and the value. Raises ValueError for a value that is none of this type."""
    if not key:
        raise ValueError("a key may not be empty")
    return encoded_string(key) + struct.pack("<I", field.type.value) + _encoded(field.type, field.value)


def encoded_string(text: str) -> bytes:
    """The length in bytes and the text as UTF-8."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def string_field(text: str) -> Field:
    """A string."""
    return Field(FieldType(ValueType.STRING), text)


def number_field(value_type: ValueType, value: float) -> Field:
    """A number or truth value of this type."""
    return Field(FieldType(value_type), value)


def _encoded(field_type: FieldType, value: Value) -> bytes:
    if field_type.value is not ValueType.ARRAY:
        return _encoded_scalar(field_type.value, value)
    if field_type.element is None:
        raise ValueError("the type of the elements of an array is not given")
    return _encoded_array(field_type.element, value, 1)


def _encoded_scalar(value_type: ValueType, value: object) -> bytes:
    if value_type is ValueType.STRING:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no string")
        return encoded_string(value)
    kind = {ValueType.BOOL: bool, ValueType.FLOAT32: float, ValueType.FLOAT64: float}.get(value_type, int)
    # Not isinstance: for Python a truth value is an integer.
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{value!r} is no {value_type.name.lower()}")
    try:
        return struct.pack("<" + CODES[value_type], value)
    except (struct.error, OverflowError):
        raise ValueError(f"{value!r} is outside the range of {value_type.name.lower()}") from None


def _encoded_array(element: ValueType, value: Value, depth: int) -> bytes:
    if not isinstance(value, (list, np.ndarray)):
        raise ValueError(f"{value!r} is no array")
    head = struct.pack("<IQ", element, len(value))
    if element is ValueType.ARRAY:
        if depth == MAX_ARRAY_DEPTH:
            raise ValueError(f"its arrays are nested more than {MAX_ARRAY_DEPTH} deep")
        return head + b"".join(_encoded_array(_element_type(inner), inner, depth + 1) for inner in value)
    if isinstance(value, np.ndarray) and element is not ValueType.STRING and value.dtype == _dtype(element):
        return head + value.astype(_dtype(element)).tobytes()
    elements = value.tolist() if isinstance(value, np.ndarray) else value
    return head + b"".join(_encoded_scalar(element, each) for each in elements)


def _element_type(inner: Value) -> ValueType:
    """The type of the elements of an array within an array, which `FieldType` does not tell."""
    if isinstance(inner, np.ndarray):
        for value_type in CODES:
            if inner.dtype == _dtype(value_type):
                return value_type
    if isinstance(inner, list):
        return ValueType.ARRAY if inner and isinstance(inner[0], (list, np.ndarray)) else ValueType.STRING
    raise ValueError(f"{inner!r} is no array of metadata")


def _dtype(value_type: ValueType) -> np.dtype[np.generic]:
    return np.dtype("<" + CODES[value_type])
