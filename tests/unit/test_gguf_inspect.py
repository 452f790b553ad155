"""`pyggml inspect`: for people, for pipes and for programs."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from pyggml.cli import inspect as inspect_module
from pyggml.cli.inspect import inspect_command
from pyggml.errors import GGUFError
from pyggml.gguf import GGUFFile, ValueType
from tests.unit.gguf_bytes import (
    F32,
    I8,
    Q8_0,
    FileBytes,
    array,
    entry,
    every_type,
    info,
    string,
    u16,
    u32,
    with_tensors,
)

LONG_NAME = "a.tensor.with.a.rather.long.name.that.must.never.be.cut.weight"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(inspect_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def as_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def with_entries(folder: Path, *entries: bytes) -> str:
    tensors = [(LONG_NAME, (64, 2), Q8_0), ("b", (3, 5, 2), F32), ("c", (5,), I8), ("d", (100, 100, 30), F32)]
    return str(with_tensors(tensors, entries).write(folder))


def rows(text: str) -> dict[str, list[str]]:
    """The rows of the tables, by their first column."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_tables_in_a_pipe(tmp_path: Path) -> None:
    path = with_entries(
        tmp_path,
        u32("test.count", 7),
        entry("test.epsilon", ValueType.FLOAT32, struct.pack("<f", 1e-6)),
        entry("test.double", ValueType.FLOAT64, struct.pack("<d", 0.1)),
        entry("test.name", ValueType.STRING, string("[bold]:smile:\x1b[31m\nnext")),
        entry("test.long", ValueType.STRING, string("x" * 1234)),
        entry("test.array", ValueType.ARRAY, array(ValueType.UINT8, [bytes([index]) for index in range(100)])),
        entry("test.words", ValueType.ARRAY, array(ValueType.STRING, [string("a"), string("世界")])),
    )
    text = run(path)
    assert text.splitlines()[:2] == [path, "GGUF version 3, little-endian, alignment 32"]
    assert all(line == line.rstrip() for line in text.splitlines())
    found = rows(text)
    assert found["test.count"] == ["uint32", "7"]
    assert found["test.epsilon"] == ["float32", "1e-06"]
    assert found["test.double"] == ["float64", "0.1"]
    assert found["test.name"] == ["string", "'[bold]:smile:\\x1b[31m\\nnext'"]
    assert found["test.long"] == ["string", f"'{'x' * 60}'...", "(1,234", "characters)"]
    assert " ".join(found["test.array"]) == "array of uint8 [0, 1, 2, 3, 4, 5, ...] (100 elements)"
    assert found["test.words"] == ["array", "of", "string", "['a',", "'世界']"]
    assert found[LONG_NAME] == ["Q8_0", "64", "x", "2", "136", "B", "8.5"]
    assert found["b"] == ["F32", "3", "x", "5", "x", "2", "120", "B", "32"]
    assert found["d"] == ["F32", "100", "x", "100", "x", "30", "1.14", "MiB", "32"]
    assert found["F32"] == ["2", "300,030", "1.14", "MiB", "32"]
    assert found["I8"] == ["1", "5", "5", "B", "8"]
    assert found["total"] == ["4", "300,163", "1.14", "MiB", "31.99"]


def test_tables_on_a_terminal_fold_but_cut_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_entries(tmp_path)

    class Terminal(Console):
        def __init__(self, **options: Any) -> None:
            super().__init__(force_terminal=True, width=60, color_system=None, **options)

    monkeypatch.setattr(inspect_module, "Console", Terminal)
    text = run(path)
    assert max(map(len, text.splitlines())) <= max(60, len(path))
    assert "…" not in text
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("a.tensor"))
    last = next(index for index, line in enumerate(lines) if line.startswith("b "))
    assert "".join(line.split()[0] for line in lines[first:last]) == LONG_NAME


def test_names_with_control_characters_are_escaped(tmp_path: Path) -> None:
    built = FileBytes([u32("\x1b[31mred", 1), u32("k" * 5000, 2)], [info("\x07bell")], bytes(32))
    text = run(str(built.write(tmp_path)))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert rows(text)[r"'\x1b[31mred'"] == ["uint32", "1"]
    assert rows(text)[r"'\x07bell'"] == ["F32", "4", "16", "B", "32"]
    assert max(map(len, text.splitlines())) < 200


def test_an_unknown_type_and_no_weights(tmp_path: Path) -> None:
    built = FileBytes([], [info("odd", (8,), 77), info("none", (4, 0), F32, 32)], bytes(64))
    path = str(built.write(tmp_path))
    found = rows(run(path))
    assert found["odd"] == ["type", "77", "8", "unknown"]
    assert found["none"] == ["F32", "4", "x", "0", "0", "B"]
    assert found["total"] == ["2", "8", "unknown"]
    data = as_json(path)
    assert [each["bits_per_weight"] for each in data["tensors"]] == [None, None]
    assert data["total"] == {"type": "total", "n_tensors": 2, "n_elements": 8, "n_bytes": None, "bits_per_weight": None}


def test_json_tells_all(tmp_path: Path) -> None:
    path = with_tensors([("a", (64, 2), Q8_0), ("c", (5,), I8)], every_type()).write(tmp_path)
    data = as_json(str(path))
    assert data["path"] == str(path)
    assert data["paths"] == [str(path)]
    assert (data["version"], data["byte_order"], data["alignment"]) == (3, "little", 32)
    with GGUFFile.open(path) as file:
        assert list(data["metadata"]) == list(file.metadata)
        assert data["tensors"][0] == {
            "name": "a",
            "type": "Q8_0",
            "type_id": 8,
            "shape": [64, 2],
            "n_elements": 128,
            "n_bytes": 136,
            "bits_per_weight": 8.5,
            "offset": file.tensors["a"].offset,
            "path": str(path),
        }
    assert data["metadata"]["scalar.UINT64"] == {"type": "uint64", "value": 2**64 - 1}
    assert data["metadata"]["scalar.BOOL"] == {"type": "bool", "value": True}
    assert data["metadata"]["scalar.STRING"]["value"] == "héllo, 世界"
    assert data["metadata"]["array.BOOL"]["value"] == [True, True, True]
    nested = [[[-3, -3], ["", "a", "é", "世界"]], [-3, -3]]
    assert data["metadata"]["array.ARRAY"] == {
        "type": "array of array",
        "length": 2,
        "shortened": False,
        "value": nested,
    }
    assert data["types"] == [
        {"type": "Q8_0", "n_tensors": 1, "n_elements": 128, "n_bytes": 136, "bits_per_weight": 8.5},
        {"type": "I8", "n_tensors": 1, "n_elements": 5, "n_bytes": 5, "bits_per_weight": 8.0},
    ]
    assert data["total"]["n_bytes"] == 141


def test_json_shortens_unless_full(tmp_path: Path) -> None:
    long_array = array(ValueType.UINT8, [bytes([index]) for index in range(100)])
    path = with_entries(
        tmp_path,
        entry("array", ValueType.ARRAY, long_array),
        entry("nested", ValueType.ARRAY, array(ValueType.ARRAY, [long_array])),
        entry("text", ValueType.STRING, string("x" * 1001)),
    )
    short, full = as_json(path)["metadata"], as_json(path, "--full")["metadata"]
    assert short["array"] == {"type": "array of uint8", "length": 100, "shortened": True, "value": list(range(64))}
    assert full["array"] == {"type": "array of uint8", "length": 100, "shortened": False, "value": list(range(100))}
    assert full["nested"]["value"] == [list(range(100))]
    assert short["nested"]["value"] == [list(range(64))]
    assert (short["text"]["value"], short["text"]["shortened"]) == ("x" * 1000, True)
    assert (full["text"]["value"], full["text"]["length"]) == ("x" * 1001, 1001)


def test_json_has_no_numbers_that_json_has_not(tmp_path: Path) -> None:
    values = [struct.pack("<f", value) for value in (float("nan"), float("inf"), -float("inf"), 0.5)]
    path = with_entries(
        tmp_path,
        entry("nan", ValueType.FLOAT32, values[0]),
        entry("array", ValueType.ARRAY, array(ValueType.FLOAT32, values)),
    )
    data = as_json(path)["metadata"]
    assert data["nan"]["value"] == "nan"
    assert data["array"]["value"] == ["nan", "inf", "-inf", 0.5]


def test_split_files_are_told_whole(tmp_path: Path) -> None:
    paths = []
    for index in range(2):
        keys = [u16("split.no", index), u16("split.count", 2)]
        built = with_tensors([(f"t{index}", (4,), F32)], keys)
        paths.append(str(built.write(tmp_path, f"m-{index + 1:05d}-of-00002.gguf")))
    data = as_json(paths[1])
    assert data["paths"] == paths
    assert [each["path"] for each in data["tensors"]] == paths
    assert run(paths[1]).splitlines()[:2] == paths


def test_full_without_json_is_a_misuse(tmp_path: Path) -> None:
    result = CliRunner().invoke(inspect_command, [with_entries(tmp_path), "--full"])
    assert result.exit_code == 2
    assert "--full works with --json only" in result.stderr


def test_errors_are_left_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"absent\.gguf: there is no such file"):
        CliRunner().invoke(inspect_command, [str(tmp_path / "absent.gguf")], catch_exceptions=False)
