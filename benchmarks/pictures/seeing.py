"""One program that is shown a picture and says a word about it."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.programs import Program, end_of, native_program, run_program

#: What the programs say of the time that the tower took: pyggml at the end, llama.cpp, by its versions, with -v.
_SECONDS = re.compile(r"Pictures: 1 in ([0-9.]+) s")
_MILLISECONDS = re.compile(r"(?:batch encoding done|slice encoded) in ([0-9]+) ms")


@dataclass(frozen=True)
class Seen:
    """Seconds that the tower took, seconds from the program's start to its end, and the most memory it took."""

    tower_seconds: float
    seconds: float
    peak_bytes: int | None


@dataclass(frozen=True)
class Scene:
    """What a program is given."""

    text: Path
    mmproj: Path
    picture: Path
    n_threads: int

    def arguments(self) -> list[str]:
        """The options, the same for both; -v tells more, and what comes of the answer is of no account."""
        files = ["-m", str(self.text), "--mmproj", str(self.mmproj), "--image", str(self.picture)]
        answer = ["-c", "8192", "--chat-template", "chatml", "-p", "hi", "-n", "1", "--temp", "0", "-v"]
        return [*files, "-t", str(self.n_threads), *answer]


def pyggml_program() -> Program:
    """`pyggml run` of this checkout."""
    return Program("pyggml", (sys.executable, "-m", "pyggml", "run", "-ngl", "0"))


def llama_program(path: Path) -> Program:
    """A llama-mtmd-cli. Raises BenchmarkError if there is none, or it does not run."""
    return native_program(path, "llama-mtmd-cli")


def see(program: Program, scene: Scene) -> Seen:
    """Run a program once. Raises BenchmarkError if that fails, with the last of what it said."""
    start = perf_counter()
    finished = run_program(program, scene.arguments())
    seconds = perf_counter() - start
    tower_seconds = _tower_seconds(finished.stdout + finished.stderr)
    if finished.status or tower_seconds is None:
        said = end_of((finished.stderr or finished.stdout).strip().splitlines())
        raise BenchmarkError(
            f"{program.name}: {' '.join([*program.command, *scene.arguments()])} ended with status {finished.status}"
            f" and no figures: {said}"
        )
    return Seen(tower_seconds, seconds, finished.peak_bytes)


def _tower_seconds(text: str) -> float | None:
    if found := _SECONDS.search(text):
        return float(found[1])
    return int(found[1]) / 1000 if (found := _MILLISECONDS.search(text)) else None
