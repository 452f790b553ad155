"""`pyggml imatrix`: what it refuses, and combining files; tests/model/test_evaluate_importance.py measures."""

from pathlib import Path

import numpy as np
import pytest

from pyggml.backend.observation import ColumnSums, Observer
from pyggml.errors import EvaluationError, QuantizeError, UsageError
from pyggml.evaluate.importance import ImportanceMatrix, combined
from pyggml.quantize.importance_file import (
    ImportanceFile,
    Sums,
    read_importance_file,
    write_importance_gguf,
    write_importance_legacy,
)
from tests.unit.cli_running import invoke


def sums(*squares: float, counts: tuple[int, ...] = (64,), values: bool = False) -> Sums:
    floats = np.array(squares, np.float32)
    return Sums(floats, np.array(counts, np.int64), floats / np.float32(2) if values else None)


def file(entries: dict[str, Sums], chunk_size: int | None = 32) -> ImportanceFile:
    return ImportanceFile(entries, ("a.txt",), 2, chunk_size)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "there is nothing to measure on: give a text with -f FILE or -p TEXT, or files with --in-file"),
        (["-f", "x", "-c", "2"], 2, "-c is 2; allowed are 3 and up"),
        (["-f", "none"], 2, "-f none: the file cannot be read"),
        (["-p", "Hello", "-c", "8"], 1, "at least 16 are needed"),
        (["-p", "Hello", "-c", "8", "--chunk", "3"], 1, "to skip 3 chunks of 8, more than 40 are needed: skip fewer"),
        (["--in-file", "none"], 1, "none: the importance matrix cannot be read: No such file"),
    ],
)
def test_what_cannot_be_measured(arguments: list[str], status: int, message: str, tmp_path: Path) -> None:
    result = invoke("imatrix", *arguments, "-o", str(tmp_path / "out.gguf"))
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_files_are_written_as_they_are_read(tmp_path: Path) -> None:
    stack = sums(1, 2, 3, 4, 5, 6, counts=(64, 32), values=True)
    path = str(tmp_path / "in.gguf")
    write_importance_gguf(path, file({"b": sums(1, 2), "a": stack}))
    found = read_importance_file(path)
    assert list(found.entries) == ["a", "b"]
    assert (found.datasets, found.n_chunks, found.chunk_size) == (("a.txt",), 2, 32)
    assert found.entries["a"].squares.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.entries["a"].counts.tolist() == [64, 32]
    assert found.entries["a"].values is not None
    assert found.entries["a"].values.tolist() == [0.5, 1, 1.5, 2, 2.5, 3]
    assert found.entries["b"].values is None


def test_the_older_format_holds_means_of_chunks(tmp_path: Path) -> None:
    path = str(tmp_path / "in.dat")
    entries = {"b": sums(64, 128), "a": sums(6, 6, 9, 9, counts=(3, 0)), "c": sums(7, counts=(0,))}
    write_importance_legacy(path, file(entries))
    found = read_importance_file(path)
    # What no row was multiplied with counts as 1; an entry without any is left out.
    assert {name: each.squares.tolist() for name, each in found.entries.items()} == {"a": [2, 2, 1, 1], "b": [2, 4]}
    assert {name: each.counts.tolist() for name, each in found.entries.items()} == {"a": [1], "b": [2]}
    assert (found.datasets, found.n_chunks, found.chunk_size) == (("a.txt",), 2, None)
    with pytest.raises(QuantizeError, match="the importance matrix cannot be written: No such file"):
        write_importance_legacy(str(tmp_path / "none" / "in.dat"), file({}))


def test_files_are_added_up() -> None:
    matrix = combined(
        [
            ("a", file({"v": sums(1, 2, values=True), "w": sums(1, values=True)})),
            ("b", file({"v": sums(3, 4, values=True), "x": sums(5)})),
            ("c", file({"w": sums(2, counts=(1,))}, None)),
        ],
        512,
    )
    assert matrix.chunk_size == 32
    assert {name: each.squares.tolist() for name, each in matrix.entries.items()} == {
        "v": [4, 6],
        "w": [1 + 2 * 32],
        "x": [5],
    }
    assert {name: each.counts.tolist() for name, each in matrix.entries.items()} == {"v": [128], "w": [96], "x": [64]}
    assert [name for name, each in matrix.entries.items() if each.values is not None] == ["v"]
    assert matrix.datasets == ["a.txt"] * 3
    assert matrix.n_chunks == 4
    assert combined([], 512).n_chunks == 0


def test_files_of_different_models() -> None:
    with pytest.raises(EvaluationError, match="b: 'v' has 2 sums and 1 counts; the files before have 1 and 1: combine"):
        combined([("a", file({"v": sums(1)})), ("b", file({"v": sums(1, 2)}))], 512)


def test_a_file_of_another_model_is_not_gone_on_from(tmp_path: Path) -> None:
    path = str(tmp_path / "in.gguf")
    write_importance_gguf(path, file({"blk.0.attn_q.weight": sums(1, 2, 3)}))
    text = "Once upon a time there was a fox. It had a lantern, and a friend."
    result = invoke("imatrix", "-p", text, "-c", "8", "--in-file", path, "-o", str(tmp_path / "out.gguf"))
    assert result.exit_code == 1
    assert "'blk.0.attn_q.weight' has 3 sums in the files to go on from; the model's weight has 256" in result.stderr


def test_what_is_not_finite_is_not_kept() -> None:
    observer = Observer({}, 1)
    observer.sums["v"] = ColumnSums.zeros(2)
    observer.sums["v"].squares[1] = np.inf
    matrix = ImportanceMatrix(512)
    matrix.take(observer)
    assert matrix.entries == {}
    observer.sums["v"].count[0] = 20
    with pytest.raises(EvaluationError, match="that 'v' is multiplied with are not finite, or too large"):
        matrix.take(observer)


def test_remarks(tmp_path: Path) -> None:
    paths = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    for path, size in zip(paths, (32, 64), strict=True):
        write_importance_gguf(str(path), file({"v": sums(1)}, size))
    named = [argument for path in paths for argument in ("--in-file", str(path))]
    result = invoke("imatrix", *named, "-o", str(tmp_path / "out.dat"))
    assert result.exit_code == 0, result.output
    assert "out.dat will be a GGUF file: --output-format dat writes the older format" in result.stderr
    assert "on chunks of 32, 64 tokens: their number will be told in chunks of 32" in result.stderr
    assert "out.dat: importance of 1 tensors, measured on 4 chunks" in result.stderr


@pytest.mark.parametrize("options", [["--chunks", "0"], ["-b", "8"]])
def test_nothing_measured_is_nothing_written(options: list[str], tmp_path: Path) -> None:
    text = "Once upon a time there was a fox. It had a lantern, and a friend."
    result = invoke("imatrix", "-p", text, "-c", "8", "-o", str(tmp_path / "out.gguf"), *options)
    assert result.exit_code == 1
    assert (
        "nothing was measured: needed are --chunks 1 and up, and steps of 16 tokens and up (-b, -ub)" in result.stderr
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "n"), [((), 0), (("-ngl", "3"), 3)])
def test_importance_is_measured_on_the_cpu_unless_asked(
    arguments: tuple[str, ...], n: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, n_gpu_layers: object, **__: object) -> None:
        raise UsageError(f"{n_gpu_layers!r} layers")

    monkeypatch.setattr("pyggml.cli.loading.load", refuse)
    result = invoke("imatrix", "-p", "Hello", "-o", str(tmp_path / "out.gguf"), *arguments)
    assert result.stderr == f"pyggml: error: {n} layers\n"
