"""Builds GGUF files byte by byte, sound or broken on purpose, for the tests of the reader."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyggml.gguf import GGML_TYPES, ValueType

F32, Q8_0, I8 = 0, 8, 24


def string(text: str | bytes, order: str = "<") -> bytes:
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack(order + "Q", len(encoded)) + encoded


def array(element: int, values: Sequence[bytes], order: str = "<", n_values: int | None = None) -> bytes:
    """The value of an ARRAY: the type of its elements, their number (a lie if you give one), and the elements."""
    count = len(values) if n_values is None else n_values
    return struct.pack(order + "IQ", element, count) + b"".join(values)


def entry(key: str | bytes, value_type: int, value: bytes, order: str = "<") -> bytes:
    return string(key, order) + struct.pack(order + "I", value_type) + value


def u16(key: str, value: int) -> bytes:
    return entry(key, ValueType.UINT16, struct.pack("<H", value))


def u32(key: str, value: int) -> bytes:
    return entry(key, ValueType.UINT32, struct.pack("<I", value))


def info(
    name: str | bytes,
    shape: Sequence[int] = (4,),
    type_id: int = F32,
    offset: int = 0,
    *,
    n_dims: int | None = None,
    order: str = "<",
) -> bytes:
    """An entry of the list of tensors; dimensions are stored modulo 2**64."""
    dims = struct.pack(f"{order}{len(shape)}Q", *(size % 2**64 for size in shape))
    n_dims = len(shape) if n_dims is None else n_dims
    return string(name, order) + struct.pack(order + "I", n_dims) + dims + struct.pack(order + "IQ", type_id, offset)


def padded(data: bytes, alignment: int = 32) -> bytes:
    return data + bytes(-len(data) % alignment)


@dataclass
class FileBytes:
    """A file to be: change any part of it, then call `build`."""

    entries: list[bytes] = field(default_factory=list)
    infos: list[bytes] = field(default_factory=list)
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: int = 3
    alignment: int = 32
    order: str = "<"
    n_entries: int | None = None
    n_tensors: int | None = None

    def build(self) -> bytes:
        n_tensors = len(self.infos) if self.n_tensors is None else self.n_tensors
        n_entries = len(self.entries) if self.n_entries is None else self.n_entries
        header = self.magic + struct.pack(self.order + "IQQ", self.version, n_tensors, n_entries)
        head = header + b"".join(self.entries) + b"".join(self.infos)
        return padded(head, self.alignment) + self.data if self.infos else head

    def write(self, folder: Path, name: str = "file.gguf") -> Path:
        path = folder / name
        path.write_bytes(self.build())
        return path


def with_tensors(
    shapes: Iterable[tuple[str, Sequence[int], int]],
    entries: Iterable[bytes] = (),
    alignment: int = 32,
    order: str = "<",
) -> FileBytes:
    """A sound file with such tensors (name, shape, type), whose data count up from 0."""
    infos, data = [], b""
    for name, shape, type_id in shapes:
        infos.append(info(name, shape, type_id, len(data), order=order))
        n_elements = 1
        for size in shape:
            n_elements *= size
        known = GGML_TYPES[type_id]
        n_bytes = n_elements // known.block_size * known.block_bytes
        data += padded(bytes(index % 251 for index in range(n_bytes)), alignment)
    return FileBytes(list(entries), infos, data, alignment=alignment, order=order)


SCALARS = (
    (ValueType.UINT8, "B", 200),
    (ValueType.INT8, "b", -100),
    (ValueType.UINT16, "H", 60000),
    (ValueType.INT16, "h", -30000),
    (ValueType.UINT32, "I", 4_000_000_000),
    (ValueType.INT32, "i", -2_000_000_000),
    (ValueType.FLOAT32, "f", 0.15625),
    (ValueType.BOOL, "?", True),
    (ValueType.UINT64, "Q", 2**64 - 1),
    (ValueType.INT64, "q", -(2**63)),
    (ValueType.FLOAT64, "d", 0.1),
)


def every_type(order: str = "<") -> list[bytes]:
    """One key for each type of value, each type of array, and nested arrays."""
    entries = [
        entry(f"scalar.{kind.name}", kind, struct.pack(order + code, value), order) for kind, code, value in SCALARS
    ]
    entries += [
        entry(f"array.{kind.name}", ValueType.ARRAY, array(kind, [struct.pack(order + code, value)] * 3, order), order)
        for kind, code, value in SCALARS
    ]
    entries.append(entry("scalar.STRING", ValueType.STRING, string("héllo, 世界", order), order))
    strings = array(ValueType.STRING, [string(text, order) for text in ("", "a", "é", "世界")], order)
    entries.append(entry("array.STRING", ValueType.ARRAY, strings, order))
    numbers = array(ValueType.INT16, [struct.pack(order + "h", -3)] * 2, order)
    inner = array(ValueType.ARRAY, [numbers, strings], order)
    entries.append(entry("array.ARRAY", ValueType.ARRAY, array(ValueType.ARRAY, [inner, numbers], order), order))
    entries.append(entry("array.empty", ValueType.ARRAY, array(ValueType.FLOAT32, [], order), order))
    return entries
