"""The programs that are compared, and llama.cpp's own that a user has."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

_SHOWN_LINES = 5


@dataclass(frozen=True)
class Program:
    """What a program is called, and the beginning of its command line."""

    name: str
    command: tuple[str, ...]


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
