"""The programs that are compared. Each takes llama-bench's options and prints llama-bench's JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.programs import Program, end_of, native_program, run_program


@dataclass(frozen=True)
class Task:
    """Tokens read at once or generated, after so many in the cache."""

    n_prompt: int
    n_gen: int
    n_depth: int

    @property
    def name(self) -> str:
        """In words."""
        name = f"prompt {self.n_prompt}" if self.n_prompt else f"generate {self.n_gen}"
        return name + (f" at {self.n_depth}" if self.n_depth else "")


@dataclass(frozen=True)
class Run:
    """What one process measured: tokens a second in each test, and the most bytes of memory it took.

    `peak_bytes` is None where the system does not tell.
    """

    speeds: tuple[tuple[Task, float], ...]
    peak_bytes: int | None


def pyggml_engine() -> Program:
    """`pyggml bench` of this checkout."""
    return Program("pyggml", (sys.executable, "-m", "pyggml", "bench"))


def wheel_engine() -> Program:
    """The llama.cpp inside the wheel xllamacpp, which is built for AVX2."""
    return Program("llama.cpp (wheel)", (sys.executable, "-m", "benchmarks.wheel"))


def native_engine(path: Path) -> Program:
    """A llama-bench. Raises BenchmarkError if there is none, or it does not run."""
    return native_program(path, "llama-bench")


def run_engine(engine: Program, arguments: Sequence[str]) -> Run:
    """Run it once in a process of its own. Raises BenchmarkError if that fails, with the last of what it said."""
    finished = run_program(engine, [*arguments, "-o", "json"])
    speeds = () if finished.status else _speeds(finished.stdout)
    if not speeds:
        said = end_of((finished.stderr or finished.stdout).strip().splitlines())
        raise BenchmarkError(
            f"{engine.name}: {' '.join([*engine.command, *arguments])} ended with status {finished.status} and no"
            f" figures: {said}"
        )
    return Run(speeds, finished.peak_bytes)


def _speeds(text: str) -> tuple[tuple[Task, float], ...]:
    """The figures in llama-bench's JSON; none if it is no such JSON."""
    try:
        return tuple(
            (Task(entry["n_prompt"], entry["n_gen"], entry["n_depth"]), float(speed))
            for entry in json.loads(text)
            for speed in entry["samples_ts"]
        )
    except (ValueError, KeyError, TypeError):
        return ()
