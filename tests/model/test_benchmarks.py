"""`python -m benchmarks` on the model inside the package, with few tokens."""

import json
from collections.abc import Iterator
from pathlib import Path

import click.testing
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.comparison import Figure, Plan, weight_bytes
from benchmarks.errors import BenchmarkError
from benchmarks.model_files import Models, model_files
from benchmarks.random_models import Shape, write_random_model
from benchmarks.report import as_json, table
from pyggml.gguf import GGUFFile
from pyggml.package_data import demo_model
from pyggml_reference.model import ReferenceModel

TINY = ("-t", "1", "-p", "4", "-n", "2", "-r", "1")
FAKE = """#!/bin/sh
[ "$1" = --version ] && echo "version: 9" && exit
echo "$@" >> "$0.log"
case "$8" in
0) echo '[{"n_prompt": 4, "n_gen": 0, "n_depth": 0, "samples_ts": [10]},'
   echo ' {"n_prompt": 0, "n_gen": 2, "n_depth": 0, "samples_ts": [5]}]' ;;
*) echo '[{"n_prompt": 0, "n_gen": 2, "n_depth": 8, "samples_ts": [2.5]}]' ;;
esac
"""


@pytest.fixture(autouse=True)
def _quick_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a gigabyte takes longer than all the rest."""
    monkeypatch.setattr("benchmarks.comparison.read_bandwidth", lambda n_threads: 1e10 * n_threads)


def run(*arguments: str, fails: int = 0) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code == fails, result.output
    return result


def test_beside_the_wheel(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    result = run(*TINY, "-d", "0,8", "-fa", "on", "--json", str(target))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines() if "| demo" in line]
    tests = ["prompt 4", "generate 2", "generate 2 at 8", "peak memory", "read bandwidth"]
    assert [(row[1], row[2]) for row in rows] == [("1", test) for test in tests]
    assert all(float(row[6]) > 0 for row in rows[:4])
    stored = json.loads(target.read_text())
    assert stored["conditions"]["llama_cpp"] == "llama.cpp (wheel)"
    assert [each["test"] for each in stored["figures"]] == tests
    assert stored["figures"][0]["ratio"] == stored["figures"][0]["pyggml"] / stored["figures"][0]["llama_cpp"]


def test_beside_a_llama_bench_with_a_busy_core(tmp_path: Path) -> None:
    fake = tmp_path / "llama-bench"
    fake.write_text(FAKE, encoding="utf-8")
    fake.chmod(0o755)
    result = run(*TINY, "-d", "0,8", "--busy", "-fa", "off", "--llama-bench", str(fake))
    assert "llama cpp: llama.cpp (version: 9), flash attention: off, busy core: True, runs: 1" in result.stdout
    start = f"-m {demo_model()}"
    once = [
        f"{start} -p 4 -n 2 -d 0 -t 1 -r 1 -fa 0 -o json",
        f"{start} -p 0 -n 2 -d 8 -t 1 -r 1 -fa 0 -o json",
    ]
    assert (tmp_path / "llama-bench.log").read_text().splitlines() == once
    cells = [[cell.strip() for cell in line.split("|")] for line in result.stdout.splitlines() if "| demo" in line]
    assert [row[6] for row in cells[:3]] == ["10.0", "5.00", "2.50"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "9B"), "'9B' is no shape; allowed are 0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"),
        (("--shape", "0.5B", "--format", "Q9"), "there is no file type 'Q9'"),
        (("-m", "missing.gguf"), "'missing.gguf' does not exist"),
        (("--llama-bench", "missing"), "--llama-bench missing: it cannot be run"),
        (
            ("--format", "F16"),
            "--format, --layers and --models are for models that --shape makes: give it, such as 1.5B",
        ),
        (("--json", "no/such/figures.json"), "--json no/such/figures.json: there is no folder"),
        (("--shape", "0.5B", "--models", __file__), "File exists"),
        (("-t", "x"), "'x' is no list of numbers and ranges"),
    ],
)
def test_errors(arguments: tuple[str, ...], message: str) -> None:
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert message in result.output


def test_the_tests_that_are_asked_for() -> None:
    assert list(Plan().invocations()) == [
        ["-p", "128,512", "-n", "32", "-d", "0"],
        ["-p", "0", "-n", "32", "-d", "4096"],
    ]
    assert list(Plan(n_depth=(64,)).invocations()) == [
        ["-p", "128,512", "-n", "0", "-d", "0"],
        ["-p", "0", "-n", "32", "-d", "64"],
    ]
    assert list(Plan(n_prompt=(0,), n_depth=(64,)).invocations()) == [["-p", "0", "-n", "32", "-d", "64"]]


@pytest.mark.parametrize("name", ["F16", "Q4_0", "Q8_0", "Q3_K_M", "Q4_K_S", "IQ1_M", "IQ4_XS", "TQ1_0", "MXFP4_MOE"])
def test_llama_cpp_reads_random_models(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_random_model(path, Shape(1, 256, 4, 2, 512, n_vocab=300, is_tied=False), name)
    with ReferenceModel(path) as model:
        assert np.isfinite(model.extend([1, 2, 3], 0)).all()


def test_bytes_that_a_token_reads(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    sizes = {}
    for is_tied in (True, False):
        write_random_model(path, Shape(1, 64, 2, 1, 96, n_vocab=300, is_tied=is_tied), "F16")
        sizes[is_tied] = weight_bytes(path)
        with GGUFFile.open(path) as file:
            total = sum(each.n_bytes or 0 for each in file.tensors.values())
    assert sizes[True] == sizes[False] == total - 2 * 64 * 300


def test_files_are_made_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.model_files.SHAPES", {"tiny": Shape(3, 64, 2, 1, 96, n_vocab=300)})
    models = Models((), ("tiny",), ("Q8_0", "F16"), 1, None)
    with model_files(models) as paths:
        found: list[Path] = []
        for path in paths:
            assert all(not each.exists() for each in found)
            found.append(path)
    assert [path.name for path in found] == ["tiny-1-layers-Q8_0.gguf", "tiny-1-layers-F16.gguf"]
    assert not found[-1].exists()
    kept = tmp_path / "models"
    for _ in range(2):
        with model_files(Models((), ("tiny",), (), None, kept)) as paths:
            assert list(paths) == [kept / "tiny-Q8_0.gguf"]
    with GGUFFile.open(kept / "tiny-Q8_0.gguf") as file:
        assert file.metadata["qwen2.block_count"] == 3
    with model_files(Models((), (), (), None, None)) as paths:
        assert list(paths) == [demo_model()]


def test_what_was_measured_before_a_failure_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*_: object) -> Iterator[Figure]:
        yield Figure("m", 1, "generate 2", "t/s", 30.0, 20.0)
        raise BenchmarkError("pyggml: it ended")

    monkeypatch.setattr("benchmarks.__main__.compare", compare)
    result = run(*TINY, fails=1)
    assert "| generate 2 | t/s  |   30.0 |" in result.stdout
    assert "Error: pyggml: it ended" in result.stderr


def test_figures() -> None:
    figures = [
        Figure("m", 2, "generate 2", "t/s", 30.0, 20.0, (0.9, 0.6)),
        Figure("m", 2, "read bandwidth", "GB/s", 5, None),
    ]
    assert [each["ratio"] for each in as_json(figures)] == [1.5, None]
    assert [list(column.cells) for column in table(figures).columns][4:] == [
        ["30.0", "5.00"],
        ["20.0", ""],
        ["1.50", ""],
        ["90% / 60%", ""],
    ]
