"""The tensors of a GGUF file: their names, types, shapes and places, all checked before any is used."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pyggml.gguf.cursor import Cursor, quoted
from pyggml.gguf.types import GGML_TYPES, GGMLType, type_name

MAX_DIMS = 4
MAX_NAME_BYTES = 63
MAX_ELEMENTS = 2**63 - 1

# The length of an empty name, the number of dimensions, no dimensions, the type and the offset.
MIN_INFO_BYTES = 8 + 4 + 4 + 8


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a file says of one tensor.

    `shape` is in ggml's order: shape[0] is the length of a row, whose weights lie side by side.
    A scalar has shape (1,). `offset` is counted from the start of the file `path`.
    """

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int
    path: Path
    own_type: GGMLType | None = None
    """What the metadata say of a type that ggml does not have."""

    @property
    def known_type(self) -> GGMLType | None:
        """The type; None if it is unknown."""
        return self.own_type or GGML_TYPES.get(self.type_id)

    @property
    def type_name(self) -> str:
        """The type as ggml or the metadata call it, or "type 77" for one that neither knows."""
        return self.own_type.name if self.own_type else type_name(self.type_id)

    @property
    def n_elements(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int | None:
        """The bytes its data take, or None if the type is unknown."""
        return _n_bytes(self.known_type, self.shape)


class Entry(NamedTuple):
    """A tensor as the file lists it, at byte `position`; `offset` is counted from the start of the data."""

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int
    position: int
    own_type: GGMLType | None


def read_entries(cursor: Cursor, n_tensors: int, own_types: Mapping[int, GGMLType]) -> dict[str, Entry]:
    """Read so many entries of the list of tensors, in the order of the file; `own_types` are named by its metadata.

    Raises GGUFError for a name too long or repeated, more than 4 dimensions, a shape whose product overflows 63 bits,
    and rows that are no whole number of blocks.
    """
    entries: dict[str, Entry] = {}
    for index in range(n_tensors):
        entry = _read_entry(cursor, index, own_types)
        if entry.name in entries:
            raise cursor.error(
                entry.position, f"tensor {index} repeats the name {quoted(entry.name)}; each may appear once"
            )
        entries[entry.name] = entry
    return entries


def place(cursor: Cursor, entries: dict[str, Entry], alignment: int) -> dict[str, TensorInfo]:
    """Check where the data of every tensor lie, and count their offsets from the start of the file.

    The data begin behind the list of tensors, and follow one another in its order, each padded to the alignment, as
    llama.cpp demands. Behind a tensor of unknown size only alignment and order can be checked.
    Raises GGUFError for data that are misaligned, overlap, leave a gap, or lie beyond the end of the file.
    """
    data_offset = padded(cursor.offset, alignment)
    tensors: dict[str, TensorInfo] = {}
    expected, previous = 0, "the start of the data"
    is_exact = True
    for entry in entries.values():
        _check_offset(cursor, entry, alignment, expected, previous, is_exact)
        n_bytes = _n_bytes(entry.own_type or GGML_TYPES.get(entry.type_id), entry.shape)
        start = data_offset + entry.offset
        stop = start + (n_bytes or 0)
        if stop > cursor.size:
            raise cursor.error(
                entry.position,
                f"the data of tensor {quoted(entry.name)} take bytes {start} to {stop}, but the file ends at byte "
                f"{cursor.size}: it is truncated or one part of several; download it again, or join the parts",
            )
        tensors[entry.name] = TensorInfo(entry.name, entry.type_id, entry.shape, start, cursor.path, entry.own_type)
        is_exact = n_bytes is not None
        expected = padded(entry.offset + (n_bytes or 0), alignment)
        previous = f"tensor {quoted(entry.name)}"
    return tensors


def padded(offset: int, alignment: int) -> int:
    """The next multiple of the alignment."""
    return (offset + alignment - 1) // alignment * alignment


def trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape in ggml's order without the ones at its end, as ggml counts and writes dimensions."""
    n_dims = len(shape)
    while n_dims > 1 and shape[n_dims - 1] == 1:
        n_dims -= 1
    return shape[:n_dims]


def _read_entry(cursor: Cursor, index: int, own_types: Mapping[int, GGMLType]) -> Entry:
    position = cursor.offset
    name = cursor.string(f"the name of tensor {index}")
    n_name_bytes = cursor.offset - position - 8
    if n_name_bytes > MAX_NAME_BYTES:
        raise cursor.error(
            position,
            f"the name of tensor {index}, {quoted(name)}, has {n_name_bytes} bytes; allowed are {MAX_NAME_BYTES}",
        )
    shape = _read_shape(cursor, name)
    start = cursor.offset
    type_id = cursor.integer("I", f"the type of tensor {quoted(name)}")
    own_type = own_types.get(type_id)
    known = own_type or GGML_TYPES.get(type_id)
    if known and shape[0] % known.block_size:
        raise cursor.error(
            start,
            f"tensor {quoted(name)} of type {known.name} has rows of {shape[0]} elements; allowed are multiples of "
            f"{known.block_size}, the size of a block",
        )
    offset = cursor.integer("Q", f"the offset of tensor {quoted(name)}")
    return Entry(name, type_id, shape, offset, position, own_type)


def _read_shape(cursor: Cursor, name: str) -> tuple[int, ...]:
    start = cursor.offset
    n_dims = cursor.integer("I", f"the number of dimensions of tensor {quoted(name)}")
    if n_dims > MAX_DIMS:
        raise cursor.error(start, f"tensor {quoted(name)} has {n_dims} dimensions; allowed are at most {MAX_DIMS}")
    shape = tuple(cursor.integer("Q", f"dimension {axis} of tensor {quoted(name)}") for axis in range(n_dims)) or (1,)
    n_elements = 1
    # From left to right, as ggml does: a zero behind two huge dimensions does not excuse them.
    for size in shape:
        n_elements *= size
        if max(n_elements, size) > MAX_ELEMENTS:
            raise cursor.error(
                start, f"tensor {quoted(name)} has the shape {shape}; allowed are at most {MAX_ELEMENTS} elements"
            )
    return shape


def _check_offset(cursor: Cursor, entry: Entry, alignment: int, expected: int, previous: str, is_exact: bool) -> None:
    found = f"tensor {quoted(entry.name)} has offset {entry.offset}, which"
    if entry.offset % alignment:
        raise cursor.error(entry.position, f"{found} is not a multiple of the alignment {alignment}")
    if entry.offset < expected:
        raise cursor.error(entry.position, f"{found} overlaps {previous}; allowed is {expected}")
    if is_exact and entry.offset > expected:
        raise cursor.error(entry.position, f"{found} leaves a gap behind {previous}; allowed is {expected}")


def _n_bytes(known: GGMLType | None, shape: tuple[int, ...]) -> int | None:
    return None if known is None else math.prod(shape) // known.block_size * known.block_bytes
