"""`require` and `get`: values by key and kind."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyggml.errors import GGUFError
from pyggml.gguf import GGUFFile, ValueType
from tests.unit.gguf_bytes import FileBytes, array, entry, every_type, string, u32

INTEGERS = ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64")
KIND_OF: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(INTEGERS, (int, list[int])),
    "FLOAT32": (float, list[float]),
    "FLOAT64": (float, list[float]),
    "BOOL": (bool, list[bool]),
    "STRING": (str, list[str]),
}
KINDS: tuple[Any, ...] = (int, float, bool, str, list, list[int], list[float], list[bool], list[str])


@pytest.fixture
def file(tmp_path: Path) -> Iterator[GGUFFile]:
    floats = [entry(name, ValueType.FLOAT32, struct.pack("<f", float(name))) for name in ("nan", "inf", "-inf", "0.5")]
    entries = [*every_type(), *floats, u32("eight", 8)]
    with GGUFFile.open(FileBytes(entries).write(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", KIND_OF)
def test_each_type_is_of_one_kind(file: GGUFFile, name: str, kind: Any) -> None:
    scalar_kind, list_kind = KIND_OF[name]
    for key, kinds in ((f"scalar.{name}", (scalar_kind,)), (f"array.{name}", (list, list_kind))):
        if kind not in kinds:
            match = rf"file\.gguf: metadata key '{key}' is .*; allowed is an? "
            with pytest.raises(GGUFError, match=match):
                file.require(key, kind)
            with pytest.raises(GGUFError, match=match):
                file.get(key, kind, None)
            continue
        value = file.require(key, kind)
        assert value == file.get(key, kind, None)
        assert type(value) is (list if key.startswith("array") else scalar_kind)
        assert {type(each) for each in (value if isinstance(value, list) else [value])} == {scalar_kind}


def test_types_follow_from_kinds(file: GGUFFile) -> None:
    # mypy checks these lines as well.
    integer: int = file.require("eight", int, low=1)
    real: float = file.get("0.5", float, 1.0)
    truth: bool = file.require("scalar.BOOL", bool)
    text: str | None = file.get("scalar.STRING", str, None)
    strings: list[str] = file.require("array.STRING", list[str])
    anything: list[Any] = file.require("array.ARRAY", list)
    assert (integer, real, truth, text) == (8, 0.5, True, "héllo, 世界")
    assert strings == ["", "a", "é", "世界"]
    assert anything == [[[-3, -3], strings], [-3, -3]]


def test_an_empty_array_is_one_of_anything(file: GGUFFile) -> None:
    assert file.require("array.empty", list[str]) == []


def test_a_default_stands_for_an_absent_key_only(file: GGUFFile) -> None:
    default = object()
    assert file.get("absent", int, default) is default
    assert file.get("absent", list[str], default) is default
    assert file.get("eight", int, default) == 8
    with pytest.raises(GGUFError, match="'eight' is 8; allowed is a string"):
        file.get("eight", str, default)


@pytest.mark.parametrize(
    ("kind", "name"), [(int, "an integer"), (list[str], "an array of str"), (list, "an array"), (bool, "a truth value")]
)
def test_an_absent_key_is_named(file: GGUFFile, kind: Any, name: str) -> None:
    with pytest.raises(GGUFError, match=rf"file\.gguf: the metadata lack the key 'no\.key', which must be {name}"):
        file.require("no.key", kind)


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [(9, None, "at least 9"), (None, 7, "at most 7"), (9, 12, "9 to 12"), (1, 7, "1 to 7")],
)
def test_numbers_outside_the_range(file: GGUFFile, low: int | None, high: int | None, allowed: str) -> None:
    match = rf"file\.gguf: metadata key 'eight' is 8; allowed is {allowed}$"
    with pytest.raises(GGUFError, match=match):
        file.require("eight", int, low=low, high=high)
    with pytest.raises(GGUFError, match=match):
        file.get("eight", int, 10, low=low, high=high)


def test_the_range_includes_its_ends(file: GGUFFile) -> None:
    assert file.require("eight", int, low=8, high=8) == 8
    assert file.require("0.5", float, low=0.5, high=0.5) == 0.5
    with pytest.raises(GGUFError, match=r"'0\.5' is 0\.5; allowed is at least 0\.6"):
        file.require("0.5", float, low=0.6)


@pytest.mark.parametrize("key", ["nan", "inf", "-inf"])
def test_floats_are_finite(file: GGUFFile, key: str) -> None:
    for low in (None, -1.0):
        with pytest.raises(GGUFError, match=rf"metadata key '{key}' is {key}; allowed is a finite number"):
            file.require(key, float, low=low)


@pytest.mark.parametrize(
    ("key", "description"),
    [
        ("scalar.STRING", "the string 'héllo, 世界'"),
        ("array.STRING", "an array of 4 strings"),
        ("array.ARRAY", "an array of 2 elements"),
        ("array.UINT16", "an array of 3 uint16"),
    ],
)
def test_errors_describe_what_is_there(file: GGUFFile, key: str, description: str) -> None:
    with pytest.raises(GGUFError, match=f"is {description}; allowed is an integer"):
        file.require(key, int)


def test_long_and_wild_texts_are_shown_short_and_escaped(tmp_path: Path) -> None:
    entries = [entry("\x1b[31m", ValueType.STRING, string("x" * 10_000))]
    with GGUFFile.open(FileBytes(entries).write(tmp_path)) as file, pytest.raises(GGUFError) as caught:
        file.require("\x1b[31m", int)
    assert "'\\x1b[31m' is the string 'xxx" in str(caught.value)
    assert len(str(caught.value)) < len(str(file.path)) + 200


def test_an_array_of_arrays_has_no_plain_elements(tmp_path: Path) -> None:
    inner = array(ValueType.UINT8, [b"\x01"])
    entries = [entry("key", ValueType.ARRAY, array(ValueType.ARRAY, [inner]))]
    with (
        GGUFFile.open(FileBytes(entries).write(tmp_path)) as file,
        pytest.raises(GGUFError, match="is an array of 1 elements; allowed is an array of int"),
    ):
        file.require("key", list[int])
