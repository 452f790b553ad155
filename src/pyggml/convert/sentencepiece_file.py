"""Vocabularies of SentencePiece, `tokenizer.model`.

The file is a message of protocol buffers; of it only the pieces are read. The messages:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
The encoding: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyggml.convert.json_object import read_bytes
from pyggml.errors import CheckpointError

_MAX_BYTES = 1 << 28
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_PIECES = 1
_TEXT, _SCORE, _TYPE = 1, 2, 3
_TYPES = range(1, 7)


@dataclass(frozen=True, slots=True)
class Piece:
    """A token: 1 an ordinary one, 2 the unknown, 3 for control, 4 defined by the user, 5 unused, 6 a byte."""

    text: str
    score: float = 0.0
    type: int = 1


def read_pieces(path: Path) -> list[Piece]:
    """The tokens in the order of their ids. Raises CheckpointError for a file that is no such message."""
    data = read_bytes(path, _MAX_BYTES)
    try:
        pieces = [_piece(value) for number, value in _fields(data) if number == _PIECES and isinstance(value, bytes)]
    except (ValueError, struct.error) as error:
        raise CheckpointError(f"{path}: this is no sound vocabulary of SentencePiece: {error}") from None
    if not pieces:
        raise CheckpointError(f"{path}: the vocabulary of SentencePiece has no tokens")
    return pieces


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(data):
        if number == _TEXT and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == _SCORE and isinstance(value, float):
            score = value
        elif number == _TYPE and isinstance(value, int):
            kind = value
    if kind not in _TYPES:
        raise ValueError(f"token {text!r} is of type {kind}; allowed are 1 to 6")
    return Piece(text, score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The numbers of the fields of a message, and their values. Raises ValueError where it is cut or unknown."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        value: int | float | bytes
        if wire == _VARINT:
            value, place = _varint(data, place)
        elif wire in (_FIXED32, _FIXED64):
            n_bytes = 4 if wire == _FIXED32 else 8
            (value,) = struct.unpack("<f" if wire == _FIXED32 else "<d", data[place : place + n_bytes])
            place += n_bytes
        elif wire == _BYTES:
            n_bytes, place = _varint(data, place)
            if n_bytes > len(data) - place:
                raise ValueError(f"a field of {n_bytes} bytes at byte {place}; there are {len(data) - place} left")
            value = data[place : place + n_bytes]
            place += n_bytes
        else:
            raise ValueError(f"a field of the unknown kind {wire} at byte {place}")
        yield number, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the place behind it."""
    value = 0
    for index, byte in enumerate(data[place : place + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError(f"a number without an end at byte {place}")
