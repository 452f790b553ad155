"""The GGUF writer against the reader of pyggml, the package gguf, and its own messages."""

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import GGUFError
from pyggml.gguf import GGML_TYPES, FieldType, GGUFFile, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import as_list
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml.package_data import demo_model
from tests.unit.gguf_bytes import FileBytes, every_type, with_tensors

_RANGES = {"B": (0, 8), "b": (1, 8), "H": (0, 16), "h": (1, 16), "I": (0, 32), "i": (1, 32), "Q": (0, 64), "q": (1, 64)}


def tensor(name: str = "a", n: int = 4, type_id: int = 0, data: bytes | None = None) -> OutputTensor:
    known = GGML_TYPES[type_id]
    content = np.arange(n // known.block_size * known.block_bytes, dtype=np.uint8)
    given_bytes = content if data is None else np.frombuffer(data, np.uint8)
    return OutputTensor(name, type_id, (n,), lambda: [given_bytes])


def copy(source: GGUFFile, target: Path) -> None:
    """Write what was read, each tensor in pieces of 1000 bytes."""
    metadata = {key: Field(source.metadata_types[key], value) for key, value in source.metadata.items()}

    def pieces(name: str) -> Iterator[npt.NDArray[np.uint8]]:
        data = source.tensor_bytes(name)
        return (data[start : start + 1000] for start in range(0, data.size, 1000))

    tensors = [
        OutputTensor(info.name, info.type_id, info.shape, partial(pieces, info.name))
        for info in source.tensors.values()
    ]
    write_gguf(target, metadata, tensors)


def test_the_packaged_model_is_copied_byte_for_byte(tmp_path: Path) -> None:
    target = tmp_path / "copy.gguf"
    with GGUFFile.open(demo_model()) as source:
        copy(source, target)
    assert target.read_bytes() == demo_model().read_bytes()


@pytest.mark.parametrize("alignment", [8, 32, 256])
def test_every_type_of_value_is_copied_byte_for_byte(tmp_path: Path, alignment: int) -> None:
    key = struct.pack("<Q", 17) + b"general.alignment" + struct.pack("<II", ValueType.UINT32, alignment)
    shapes = [("a", (32, 3), 8), ("b", (5,), 0), ("empty", (0,), 0), ("c", (256, 2, 1, 2), 12)]
    source_path = with_tensors(shapes, [*every_type(), key], alignment).write(tmp_path)
    with GGUFFile.open(source_path) as source:
        copy(source, tmp_path / "copy.gguf")
    assert (tmp_path / "copy.gguf").read_bytes() == source_path.read_bytes()


def whole(content: npt.NDArray[np.float32]) -> list[npt.NDArray[np.uint8]]:
    return [content.view(np.uint8)]


def scalars(value_type: ValueType) -> st.SearchStrategy[Any]:
    code = {
        ValueType.UINT8: "B",
        ValueType.INT8: "b",
        ValueType.UINT16: "H",
        ValueType.INT16: "h",
        ValueType.UINT32: "I",
        ValueType.INT32: "i",
        ValueType.UINT64: "Q",
        ValueType.INT64: "q",
    }.get(value_type)
    if code:
        signed, bits = _RANGES[code]
        return st.integers(-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)
    if value_type is ValueType.BOOL:
        return st.booleans()
    if value_type is ValueType.STRING:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    return st.floats(width=32 if value_type is ValueType.FLOAT32 else 64, allow_nan=False)


@st.composite
def fields(draw: st.DrawFn) -> Field:
    value_type = draw(st.sampled_from([each for each in ValueType if each is not ValueType.ARRAY]))
    if draw(st.booleans()):
        return Field(FieldType(value_type), draw(scalars(value_type)))
    return Field(FieldType(ValueType.ARRAY, value_type), draw(st.lists(scalars(value_type), max_size=5)))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc.é", min_size=1, max_size=12), fields(), max_size=6), st.data())
def test_the_reader_and_the_package_gguf_read_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Field], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("written") / "file.gguf"
    names = data.draw(st.lists(st.text("abc.", min_size=1, max_size=9), unique=True, max_size=4))
    shapes = [tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))) for _ in names]
    contents = [
        np.random.default_rng(len(name)).standard_normal(int(np.prod(s)), np.float32)
        for name, s in zip(names, shapes, strict=True)
    ]
    write_gguf(
        path,
        metadata,
        [
            OutputTensor(name, 0, shape, partial(whole, content))
            for name, shape, content in zip(names, shapes, contents, strict=True)
        ],
    )
    with GGUFFile.open(path) as file:
        assert list(file.metadata) == list(metadata)
        assert list(file.tensors) == names
        for key, field in metadata.items():
            value = file.metadata[key]
            assert file.metadata_types[key] == field.type
            assert (as_list(value) if field.type.element is not None else value) == field.value
        for name, shape, content in zip(names, shapes, contents, strict=True):
            assert file.tensors[name].shape == shape
            assert file.tensor_bytes(name).tobytes() == content.tobytes()
    if names:  # the package cannot map an empty tail
        reader = gguf.GGUFReader(path)
        found = [field for key, field in reader.fields.items() if not key.startswith("GGUF.")]
        assert [field.name for field in found] == list(metadata)
        assert [each.name for each in reader.tensors] == names
        for each, content in zip(reader.tensors, contents, strict=True):
            assert each.data.tobytes() == content.tobytes()


def test_progress_counts_the_bytes_of_all_tensors(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    tensors = [tensor("a", 4), tensor("b", 6)]
    write_gguf(tmp_path / "file.gguf", {}, tensors, lambda *arguments: seen.append(arguments))
    assert seen == [("a", 16, 40), ("b", 40, 40)]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(b"old")

    def broken() -> Iterator[npt.NDArray[np.uint8]]:
        yield np.zeros(4, np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gguf(path, {}, [OutputTensor("a", 0, (4,), broken)])
    assert [each.name for each in tmp_path.iterdir()] == ["file.gguf"]
    assert path.read_bytes() == b"old"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"missing.file\.gguf: the file cannot be written: No such file"):
        write_gguf(tmp_path / "missing" / "file.gguf", {}, [])


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            number_field(ValueType.UINT8, 256),
            r"file\.gguf: metadata key 'k' cannot be written: 256 is outside the range of uint8",
        ),
        (number_field(ValueType.INT32, True), "True is no int32"),
        (number_field(ValueType.BOOL, 1), "1 is no bool"),
        (number_field(ValueType.FLOAT32, 1e300), "1e\\+300 is outside the range of float32"),
        (Field(FieldType(ValueType.STRING), 3), "3 is no string"),
        (Field(FieldType(ValueType.ARRAY, ValueType.INT8), 3), "3 is no array"),
        (Field(FieldType(ValueType.ARRAY), [3]), "the type of the elements of an array is not given"),
        (Field(FieldType(ValueType.ARRAY, ValueType.ARRAY), [3]), "3 is no array of metadata"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_an_error(tmp_path: Path, field: Field, message: str) -> None:
    with pytest.raises(GGUFError, match=message):
        write_gguf(tmp_path / "file.gguf", {"k": field}, [])


def test_arrays_nested_too_deep_are_an_error(tmp_path: Path) -> None:
    value: list[Any] = []
    for _ in range(9):
        value = [value]
    with pytest.raises(GGUFError, match="its arrays are nested more than 8 deep"):
        write_gguf(tmp_path / "file.gguf", {"k": Field(FieldType(ValueType.ARRAY, ValueType.ARRAY), value)}, [])


def test_an_empty_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="metadata key '' cannot be written: a key may not be empty"):
        write_gguf(tmp_path / "file.gguf", {"": string_field("x")}, [])


@pytest.mark.parametrize("field", [number_field(ValueType.UINT32, 24), number_field(ValueType.UINT64, 32)])
def test_an_alignment_that_is_no_power_of_two_is_an_error(tmp_path: Path, field: Field) -> None:
    with pytest.raises(GGUFError, match=r"'general.alignment' is .* allowed are powers of two of type uint32"):
        write_gguf(tmp_path / "file.gguf", {"general.alignment": field}, [])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([tensor("a"), tensor("a")], r"tensor 'a' is given twice"),
        ([tensor("a" * 64)], "has 64 bytes; allowed are 63"),
        ([OutputTensor("a", 0, (), lambda: [])], r"has the shape \(\); allowed are 1 to 4 dimensions"),
        (
            [OutputTensor("a", 8, (33,), lambda: [])],
            "of type Q8_0 has rows of 33 elements; allowed are multiples of 32",
        ),
        ([OutputTensor("a", 77, (32,), lambda: [])], "has type 77, whose blocks are unknown here; allowed are F32, "),
        ([tensor("a", 4, data=bytes(15))], "15 bytes were given for tensor 'a'; its type and shape need 16"),
    ],
)
def test_unsound_tensors_are_an_error(tmp_path: Path, tensors: list[OutputTensor], message: str) -> None:
    with pytest.raises(GGUFError, match=message):
        write_gguf(tmp_path / "file.gguf", {}, tensors)
    assert not list(tmp_path.iterdir())


def test_the_smallest_file_is_that_of_the_specification(tmp_path: Path) -> None:
    write_gguf(tmp_path / "file.gguf", {}, [])
    assert (tmp_path / "file.gguf").read_bytes() == FileBytes().build() + bytes(8)
