"""The programs that are compared. Each takes llama-bench's options and prints llama-bench's JSON."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peak_memory
from benchmarks.errors import BenchmarkError

_SHOWN_LINES = 5


@dataclass(frozen=True)
class Engine:
    """A program: what it is called, and the beginning of its command line."""

    name: str
    command: tuple[str, ...]


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


def pyggml_engine() -> Engine:
    """`pyggml bench` of this checkout."""
    return Engine("pyggml", (sys.executable, "-m", "pyggml", "bench"))


def wheel_engine() -> Engine:
    """The llama.cpp inside the wheel xllamacpp, which is built for AVX2."""
    return Engine("llama.cpp (wheel)", (sys.executable, "-m", "benchmarks.wheel"))


def native_engine(path: Path) -> Engine:
    """A llama-bench. Raises BenchmarkError if there is none, or it does not run."""
    try:
        finished = subprocess.run([path.absolute(), "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchmarkError(
            f"--llama-bench {path}: it cannot be run: {error.strerror}; build it, or leave it out"
        ) from None
    said = (finished.stdout + finished.stderr).strip().splitlines()
    if finished.returncode or not said:
        raise BenchmarkError(
            f"--llama-bench {path}: --version ended with status {finished.returncode}: {_end(said)}; is it llama-bench?"
        )
    return Engine(f"llama.cpp ({said[0]})", (str(path.absolute()),))


def run_engine(engine: Engine, arguments: Sequence[str]) -> Run:
    """Run it once in a process of its own. Raises BenchmarkError if that fails, with the last of what it said."""
    # Modules of this checkout are found from any folder.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / "peak"
        launcher = () if sys.platform == "win32" else (sys.executable, "-I", "-S", peak_memory.__file__, str(peak))
        finished = subprocess.run(
            [*launcher, *engine.command, *arguments, "-o", "json"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            check=False,
        )
        peak_bytes = int(peak.read_text(encoding="ascii")) if peak.exists() else None
    speeds = () if finished.returncode else _speeds(finished.stdout)
    if not speeds:
        said = _end((finished.stderr or finished.stdout).strip().splitlines())
        raise BenchmarkError(
            f"{engine.name}: {' '.join([*engine.command, *arguments])} ended with status {finished.returncode} and no"
            f" figures: {said}"
        )
    return Run(speeds, peak_bytes)


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


def _end(lines: Sequence[str]) -> str:
    return " | ".join(lines[-_SHOWN_LINES:]) or "it said nothing"
