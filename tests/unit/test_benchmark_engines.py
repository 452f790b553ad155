"""The programs that the benchmarks compare: how they are started, and what becomes of their failures."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.engines import Task, native_engine, run_engine
from benchmarks.errors import BenchmarkError
from benchmarks.machine import busy_core, read_bandwidth
from benchmarks.programs import Program

ENTRY = {"n_prompt": 0, "n_gen": 4, "n_depth": 16, "samples_ts": [20.5, 30.25]}


def engine(program: str) -> Program:
    return Program("test", (sys.executable, "-I", "-S", "-c", program))


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_speeds_are_read() -> None:
    run = run_engine(
        engine(f"import sys; assert sys.argv[1:] == ['-m', 'x', '-o', 'json']; print('''{json.dumps([ENTRY])}''')"),
        ["-m", "x"],
    )
    assert run.speeds == ((Task(0, 4, 16), 20.5), (Task(0, 4, 16), 30.25))
    assert [Task(0, 4, 16).name, Task(8, 0, 0).name] == ["generate 4 at 16", "prompt 8"]


@pytest.mark.skipif(sys.platform == "win32", reason="os.wait4, which tells a child's peak memory, is Unix's")
def test_the_peak_is_that_of_the_program_alone() -> None:
    ours = bytearray(300 << 20)
    program = f"memory = bytearray(100 << 20); print('''{json.dumps([ENTRY])}''')"
    peak = run_engine(engine(program), []).peak_bytes
    assert peak is not None
    assert 100 << 20 < peak < 150 << 20
    assert len(ours) == 300 << 20


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no such model')", "status 1 and no figures: no such model"),
        ("print('hello')", "status 0 and no figures: hello"),
        ("print('[]')", r"status 0 and no figures: \[\]"),
        ("print('[{}]')", r"status 0 and no figures: \[{}\]"),
        ("", "status 0 and no figures: it said nothing"),
    ],
)
def test_an_engine_that_fails(program: str, said: str) -> None:
    with pytest.raises(BenchmarkError, match=f"test: .* -p 8 ended with {said}"):
        run_engine(engine(program), ["-p", "8"])


def test_a_llama_bench(tmp_path: Path) -> None:
    path = script(tmp_path / "llama-bench", "echo 'version: 1 (abc)'")
    assert native_engine(path) == Program("llama.cpp (version: 1 (abc))", (str(path),))


def test_no_llama_bench(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match=r"--llama-bench .*missing: it cannot be run: No such file or directory; build"
    ):
        native_engine(tmp_path / "missing")
    other = tmp_path / "file"
    other.write_text("text")
    with pytest.raises(BenchmarkError, match="it cannot be run: Permission denied"):
        native_engine(other)
    failing = script(tmp_path / "failing", "echo what >&2; exit 3")
    with pytest.raises(BenchmarkError, match=r"--version ended with status 3: what; is it llama-bench\?"):
        native_engine(failing)


def test_bandwidth_is_that_of_some_memory() -> None:
    assert 1e8 < read_bandwidth(2, n_bytes=1 << 24) < 1e13


def test_a_busy_core_ends() -> None:
    with busy_core(True):
        pass
    with busy_core(False):
        pass
