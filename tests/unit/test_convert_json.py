"""JSON files of checkpoints: values of the right kind, or an error that says what is there."""

import re
from pathlib import Path
from typing import Any

import pytest

from pyggml.convert import json_object
from pyggml.convert.json_object import JsonObject, read_json_object, read_optional_object, read_text
from pyggml.errors import CheckpointError

PATH = Path("config.json")


def test_values_are_given_as_they_are() -> None:
    values = JsonObject(PATH, {"n": 3, "x": 2, "b": True, "s": "text", "list": [1, 2], "in": {"y": 0.5}, "none": None})
    assert values.require("n", int) == 3
    assert values.require("x", float) == 2.0
    assert type(values.require("x", float)) is float
    assert values.require("b", bool) is True
    assert values.list_of("list", int) == [1, 2]
    assert values.inner("in").require("y", float) == 0.5
    assert values.get("none", int, 7) == 7
    assert values.get("absent", str, None) is None
    assert values.inner("absent").values == {}
    assert values.list_of("absent", str) == []


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (int, None, "config.json: the key 'outer.key' is missing; it must be an integer"),
        (int, 2.5, "config.json: the key 'outer.key' is 2.5; allowed is an integer"),
        (int, True, "the key 'outer.key' is true; allowed is an integer"),
        (float, "1", "the key 'outer.key' is \"1\"; allowed is a number"),
        (float, float("inf"), "the key 'outer.key' is Infinity; allowed is a finite number"),
        (str, ["a" * 99], f"the key 'outer.key' is [\"{'a' * 58}...; allowed is a string"),
        (int, 0, "the key 'outer.key' is 0; allowed is at least 1"),
        (int, 9, "the key 'outer.key' is 9; allowed is at most 8"),
    ],
)
def test_a_wrong_value_is_named(kind: type[Any], value: object, message: str) -> None:
    values = JsonObject(PATH, {"outer": {"key": value}}).inner("outer")
    with pytest.raises(CheckpointError, match=re.escape(message)):
        values.require("key", kind, low=1, high=8)


def test_elements_of_another_kind_are_an_error() -> None:
    values = JsonObject(PATH, {"list": [1, "2"], "objects": [{"a": 1}]})
    with pytest.raises(CheckpointError, match="allowed is an array in which each element is an integer"):
        values.list_of("list", int)
    with pytest.raises(CheckpointError, match=re.escape("the key 'objects[0].b' is missing")):
        values.objects("objects")[0].require("b", str)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "the file is no sound JSON: Expecting property name"),
        (b"\xff", "the file is no sound JSON: 'utf-8' codec can't decode"),
        (b"[1]", "the file is of the kind list; allowed is an object in JSON"),
        (b"[" * 200_000, "the file is no sound JSON: "),
        (b'{"n": ' + b"9" * 5000 + b"}", "the file is no sound JSON: Exceeds the limit"),
    ],
)
def test_an_unsound_file_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: {message}")):
        read_json_object(path)


def test_a_missing_file_is_named_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert read_optional_object(path).values == {}
    with pytest.raises(CheckpointError, match=r"config.json: the file cannot be read: No such file"):
        read_json_object(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_object, "_MAX_BYTES", 3)
    path = tmp_path / "config.json"
    path.write_bytes(b"{  }")
    with pytest.raises(CheckpointError, match=r"config.json: the file has 4 bytes; allowed are 3"):
        read_json_object(path)


def test_a_text_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes("ü".encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"README.md: the file is not in UTF-8"):
        read_text(path)
