"""The programs that are compared, and llama.cpp's own that a user has."""

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
class Program:
    """What a program is called, and the beginning of its command line."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """What a process left; `peak_bytes`, the most memory that it took, is None where the system does not tell."""

    status: int
    stdout: str
    stderr: str
    peak_bytes: int | None


def run_program(program: Program, arguments: Sequence[str]) -> Finished:
    """Run it to its end in a process of its own."""
    # Modules of this checkout are found from any folder.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / "peak"
        launcher = () if sys.platform == "win32" else (sys.executable, "-I", "-S", peak_memory.__file__, str(peak))
        finished = subprocess.run(
            [*launcher, *program.command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            check=False,
        )
        peak_bytes = int(peak.read_text(encoding="ascii")) if peak.exists() else None
    return Finished(finished.returncode, finished.stdout, finished.stderr, peak_bytes)


def native_program(path: Path, name: str) -> Program:
    """llama.cpp's program of that name. Raises BenchmarkError if there is none, or it does not run."""
    try:
        finished = subprocess.run([path.absolute(), "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchmarkError(
            f"--{name} {path}: it cannot be run: {error.strerror}; build it, or leave it out"
        ) from None
    said = (finished.stdout + finished.stderr).strip().splitlines()
    if finished.returncode or not said:
        raise BenchmarkError(
            f"--{name} {path}: --version ended with status {finished.returncode}: {end_of(said)}; is it {name}?"
        )
    return Program(f"llama.cpp ({said[0]})", (str(path.absolute()),))


def end_of(lines: Sequence[str]) -> str:
    """The last of what a program said."""
    return " | ".join(lines[-_SHOWN_LINES:]) or "it said nothing"
