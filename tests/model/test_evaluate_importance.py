"""Importance against what llama-imatrix measures and writes.

tests/data/evaluate/importance.gguf is its file for the packaged model in F32 (`-fa off -ctk f32 -ctv f32 -c 64 -b 192
-ub 100 --chunks 5`), where hardly anything is rounded. The hashes are those of files that it wrote from that file.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pyggml.package_data import demo_model
from pyggml.quantize import read_importance
from pyggml.quantize.importance_file import ImportanceFile, read_importance_file
from pyggml_reference.files import quantize_model
from tests.unit.cli_running import invoke

DATA = Path(__file__).parents[1] / "data"
TEXT = "tests/data/heldout.txt"
MEASURED = DATA / "evaluate" / "importance.gguf"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("importance") / "demo-f32.gguf"
    quantize_model(demo_model(), path, "F32")
    return path


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text's name, as it is given, is part of the files."""
    monkeypatch.chdir(DATA.parents[1])


def run(*arguments: str | int | Path) -> str:
    result = invoke("imatrix", "-c", "64", *map(str, arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def measure(model: Path, output: Path, *arguments: str | int | Path) -> str:
    return run("-m", model, "-f", TEXT, "-ctk", "f32", "-ctv", "f32", "-b", 192, "-o", output, *arguments)


def assert_same_sums(found: ImportanceFile, expected: ImportanceFile) -> None:
    assert list(found.entries) == list(expected.entries)
    for name, sums in expected.entries.items():
        np.testing.assert_array_equal(found.entries[name].counts, sums.counts)
        np.testing.assert_allclose(found.entries[name].squares, sums.squares, rtol=3e-6)


def test_sums_are_those_of_llama_imatrix(model: Path, tmp_path: Path) -> None:
    printed = measure(model, tmp_path / "own.gguf", "-ub", 100, "--chunks", 5)
    assert printed == ("[1]1.0463,[2]1.0886,[3]1.9547,[4]1.7403,[5]1.5809,\nFinal estimate: PPL = 1.5809 +/- 0.27572\n")
    found, expected = read_importance_file(str(tmp_path / "own.gguf")), read_importance_file(str(MEASURED))
    assert_same_sums(found, expected)
    assert (found.datasets, found.n_chunks, found.chunk_size) == (expected.datasets, 5, 64)
    # Newer versions of llama-imatrix add the sums of the values; a mean square is no less than the mean's square.
    for sums in found.entries.values():
        assert sums.values is not None
        assert (sums.values**2 <= sums.squares * sums.counts * (1 + 1e-4)).all()


def test_steps_of_few_tokens_do_not_count(model: Path, tmp_path: Path) -> None:
    # 64 tokens of three chunks in steps of 21 each leave three tokens over; llama-imatrix counts 317 rows as well.
    assert measure(model, tmp_path / "own.gguf", "-ub", 64, "--chunks", 5, "--no-ppl") == ""
    assert {int(sums.counts[0]) for sums in read_importance_file(str(tmp_path / "own.gguf")).entries.values()} == {317}


def test_going_on_is_the_same_as_going_through(model: Path, tmp_path: Path) -> None:
    measure(model, tmp_path / "first.gguf", "--chunks", 3, "--no-ppl")
    measure(model, tmp_path / "both.gguf", "--chunk", 3, "--chunks", 3, "--in-file", tmp_path / "first.gguf")
    measure(model, tmp_path / "once.gguf", "--chunks", 6)
    both, once = (read_importance_file(str(tmp_path / f"{name}.gguf")) for name in ("both", "once"))
    for name, sums in once.entries.items():
        np.testing.assert_array_equal(both.entries[name].squares, sums.squares)
        assert both.entries[name].counts.tolist() == sums.counts.tolist() == [384]
    assert both.datasets == (TEXT, TEXT)
    # What has no sums of values gives none.
    measure(model, tmp_path / "third.gguf", "--chunks", 1, "--in-file", MEASURED)
    assert {each.values for each in read_importance_file(str(tmp_path / "third.gguf")).entries.values()} == {None}


def test_the_output_matrix_and_copies(model: Path, tmp_path: Path) -> None:
    options = ("--process-output", "--chunks", 6, "--save-frequency", 3, "--output-format", "dat")
    measure(model, tmp_path / "own.dat", *options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.dat", "own.dat.at_3", "own.dat.at_6"]
    assert (tmp_path / "own.dat.at_6").read_bytes() == (tmp_path / "own.dat").read_bytes()
    found = read_importance(str(tmp_path / "own.dat"))
    assert found.n_chunks == 6
    assert found.columns["token_embd.weight"].size == 256
    assert read_importance(str(tmp_path / "own.dat.at_3")).n_chunks == 3


@pytest.mark.parametrize(
    ("in_files", "output", "digest"),
    [
        (["a.gguf"], "a.gguf", None),
        (["a.gguf"], "b.dat", "7cba9711a4c10438196d46167ac55ab0f459b987ed8fb5e5e190d39a655b1298"),
        (["a.gguf", "b.dat"], "c.gguf", "7540b9e3d690679d6d19f7a044cb5e84a376626732609037e9a0034cc0cd64cf"),
        (["b.dat", "a.gguf"], "d.dat", "55d2f8da8a0b9e2d0ffe87a891de65a40b333d2e418d9a1d287812ab5075d40f"),
        (["b.dat", "b.dat"], "e.gguf", "7540b9e3d690679d6d19f7a044cb5e84a376626732609037e9a0034cc0cd64cf"),
        (["a.gguf", "c.gguf"], "f.gguf", "7c02f39394c2b45c0583caed0d6599f59f1825330e06b3e733bfecd09f6f7d49"),
    ],
)
def test_files_are_byte_for_byte_those_of_llama_imatrix(
    in_files: Sequence[str], output: str, digest: str | None, tmp_path: Path
) -> None:
    (tmp_path / "a.gguf").write_bytes(MEASURED.read_bytes())
    combine(tmp_path, ["a.gguf"], "b.dat")
    combine(tmp_path, ["a.gguf", "b.dat"], "c.gguf")
    combine(tmp_path, in_files, output)
    expected = hashlib.sha256(MEASURED.read_bytes()).hexdigest() if digest is None else digest
    assert hashlib.sha256((tmp_path / output).read_bytes()).hexdigest() == expected


def combine(folder: Path, in_files: Sequence[str], output: str) -> None:
    named = [argument for name in in_files for argument in ("--in-file", folder / name)]
    run(*named, "-o", folder / output, "--output-format", Path(output).suffix[1:])


def test_quantizing_takes_the_file(model: Path, tmp_path: Path) -> None:
    arguments = ("--imatrix", MEASURED, model, tmp_path / "out.gguf", "Q4_K_M", "2")
    result = invoke("quantize", *map(str, arguments))
    assert result.exit_code == 0, result.output
    assert "importance of 56 tensors, measured on 5 chunks, of tests/data/heldout.txt" in result.stderr
