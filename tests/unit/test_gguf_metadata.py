"""Metadata: what goes in comes out, whoever wrote it, and the package gguf reads the same."""

import math
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import GGUFError
from pyggml.gguf import FieldType, GGUFFile, ValueType
from pyggml.gguf.own_types import KEY_PREFIX
from pyggml.gguf.values import MAX_ARRAY_DEPTH, as_list
from tests.unit.gguf_bytes import SCALARS, FileBytes, array, entry, every_type, string

INTEGER_BITS = {
    ValueType.UINT8: (0, 8),
    ValueType.INT8: (-1, 7),
    ValueType.UINT16: (0, 16),
    ValueType.INT16: (-1, 15),
    ValueType.UINT32: (0, 32),
    ValueType.INT32: (-1, 31),
    ValueType.UINT64: (0, 64),
    ValueType.INT64: (-1, 63),
}
VALUES: dict[ValueType, st.SearchStrategy[Any]] = {
    **{kind: st.integers(sign * 2**bits, 2**bits - 1) for kind, (sign, bits) in INTEGER_BITS.items()},
    ValueType.FLOAT32: st.floats(width=32),
    ValueType.FLOAT64: st.floats(),
    ValueType.BOOL: st.booleans(),
    ValueType.STRING: st.text(max_size=20),
}
# What the writer makes of the elements of nested arrays, whose types it guesses.
LEAVES = st.one_of(
    *(st.lists(VALUES[kind], min_size=1, max_size=3) for kind in (ValueType.INT32, ValueType.BOOL, ValueType.STRING)),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3),
)
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=8).map(lambda x: [x])

Field = tuple[ValueType, ValueType | None, Any]


def fields() -> st.SearchStrategy[Field]:
    def of(kind: ValueType) -> st.SearchStrategy[Field]:
        scalar = VALUES[kind].map(lambda value: (kind, None, value))
        arrays = st.lists(VALUES[kind], min_size=1, max_size=20).map(lambda values: (ValueType.ARRAY, kind, values))
        return st.one_of(scalar, arrays)

    nested = NESTED.map(lambda value: (ValueType.ARRAY, ValueType.ARRAY, value))
    return st.one_of(*(of(kind) for kind in VALUES), nested)


# Keys whose values the reader checks have tests of their own.
CHECKED = ("GGUF.", "general.al", "general.ar", KEY_PREFIX)
KEYS = st.text(min_size=1, max_size=30).filter(lambda key: not key.startswith(CHECKED))


def same(found: Any, expected: Any) -> bool:
    """Equal in type and value, to any depth; not-a-number equals itself."""
    if isinstance(expected, list):
        return type(found) is list and len(found) == len(expected) and all(map(same, found, expected))
    both_nan = isinstance(expected, float) and math.isnan(expected) and isinstance(found, float) and math.isnan(found)
    return type(found) is type(expected) and (both_nan or found == expected)


def plain(value: Any) -> Any:
    return as_list(value) if isinstance(value, (list, np.ndarray)) else value


def write_with_gguf(path: Path, metadata: dict[str, Field], order: gguf.GGUFEndian) -> None:
    writer = gguf.GGUFWriter(path, "test", endianess=order)
    for key, (kind, element, value) in metadata.items():
        sub_type = None if element is None else gguf.GGUFValueType(element)
        writer.add_key_value(key, value, gguf.GGUFValueType(kind), sub_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@given(
    metadata=st.dictionaries(KEYS, fields(), max_size=12),
    order=st.sampled_from([gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG]),
)
@settings(max_examples=200, deadline=None)
def test_reads_what_the_gguf_package_wrote(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Field], order: gguf.GGUFEndian
) -> None:
    path = tmp_path_factory.getbasetemp() / "metadata.gguf"
    write_with_gguf(path, metadata, order)
    with GGUFFile.open(path) as file:
        assert list(file.metadata) == ["general.architecture", *metadata]
        assert file.byte_order == ("little" if order is gguf.GGUFEndian.LITTLE else "big")
        oracle = gguf.GGUFReader(path)
        for key, (kind, element, value) in metadata.items():
            assert file.metadata_types[key] == FieldType(kind, element)
            assert same(plain(file.metadata[key]), value)
            if element is not ValueType.ARRAY:  # the package reads nested arrays flattened
                assert same(plain(file.metadata[key]), plain(oracle.fields[key].contents()))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [2, 3])
def test_every_type_in_both_byte_orders_and_versions(tmp_path: Path, version: int, order: str) -> None:
    path = FileBytes(every_type(order), version=version, order=order).write(tmp_path)
    with GGUFFile.open(path) as file:
        assert file.version == version
        assert file.byte_order == ("little" if order == "<" else "big")
        for kind, _, value in SCALARS:
            assert file.metadata_types[f"scalar.{kind.name}"] == FieldType(kind)
            assert same(file.metadata[f"scalar.{kind.name}"], value)
            assert file.metadata_types[f"array.{kind.name}"] == FieldType(ValueType.ARRAY, kind)
            assert same(plain(file.metadata[f"array.{kind.name}"]), [value] * 3)
        strings = ["", "a", "é", "世界"]
        assert file.metadata["scalar.STRING"] == "héllo, 世界"
        assert file.metadata["array.STRING"] == strings
        assert plain(file.metadata["array.ARRAY"]) == [[[-3, -3], strings], [-3, -3]]
        assert plain(file.metadata["array.empty"]) == []


def test_numeric_arrays_are_read_only_arrays_of_their_type(tmp_path: Path) -> None:
    with GGUFFile.open(FileBytes(every_type(">"), order=">").write(tmp_path)) as file:
        for kind, code, _ in SCALARS:
            found = file.metadata[f"array.{kind.name}"]
            assert isinstance(found, np.ndarray)
            assert found.dtype == np.dtype(code)
            assert found.dtype.isnative
            assert found.flags.aligned
            assert not found.flags.writeable


def test_any_byte_but_zero_is_true(tmp_path: Path) -> None:
    entries = [
        entry("scalar", ValueType.BOOL, b"\x02"),
        entry("array", ValueType.ARRAY, array(ValueType.BOOL, [b"\x00", b"\x01", b"\xff"])),
    ]
    with GGUFFile.open(FileBytes(entries).write(tmp_path)) as file:
        assert file.metadata["scalar"] is True
        found = file.metadata["array"]
        assert isinstance(found, np.ndarray)
        assert found.view(np.uint8).tolist() == [0, 1, 1]


def nested_entry(depth: int) -> bytes:
    value = array(ValueType.UINT8, [b"\x05"])
    for _ in range(depth - 1):
        value = array(ValueType.ARRAY, [value])
    return entry("nested", ValueType.ARRAY, value)


def test_arrays_nest_to_a_limit(tmp_path: Path) -> None:
    expected: Any = 5
    for _ in range(MAX_ARRAY_DEPTH):
        expected = [expected]
    with GGUFFile.open(FileBytes([nested_entry(MAX_ARRAY_DEPTH)]).write(tmp_path)) as file:
        assert plain(file.metadata["nested"]) == expected
    with pytest.raises(GGUFError, match=r"byte \d+: the value of metadata key 'nested' has arrays nested more than 8"):
        GGUFFile.open(FileBytes([nested_entry(MAX_ARRAY_DEPTH + 1)]).write(tmp_path))
    with pytest.raises(GGUFError, match="nested more than 8 deep"):
        GGUFFile.open(FileBytes([nested_entry(10_000)]).write(tmp_path))


def test_as_list_refuses_what_is_no_array() -> None:
    with pytest.raises(TypeError, match="int is not an array of the metadata"):
        as_list(3)


def test_field_types_have_names() -> None:
    assert str(FieldType(ValueType.UINT32)) == "uint32"
    assert str(FieldType(ValueType.ARRAY, ValueType.STRING)) == "array of string"


def best_time(work: Callable[[], object], n_runs: int = 5) -> float:
    """In seconds of this process alone, so that a busy machine does not count."""
    times = []
    for _ in range(n_runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_a_large_vocabulary_opens_fast(tmp_path: Path) -> None:
    words = [string(f"Ġtoken{index}") for index in range(150_000)]
    merges = [string(f"Ġ {index}") for index in range(150_000)]
    kinds = [struct.pack("<i", 1)] * 150_000
    entries = [
        entry("tokenizer.ggml.tokens", ValueType.ARRAY, array(ValueType.STRING, words)),
        entry("tokenizer.ggml.merges", ValueType.ARRAY, array(ValueType.STRING, merges)),
        entry("tokenizer.ggml.token_type", ValueType.ARRAY, array(ValueType.INT32, kinds)),
    ]
    path = FileBytes(entries).write(tmp_path)
    assert best_time(lambda: GGUFFile.open(path)) < 0.3
