"""Two engines on one file, alternating, and the medians of what they measure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeAlias

from benchmarks.engines import Run, Task, run_engine
from benchmarks.machine import read_bandwidth
from benchmarks.programs import Program
from pyggml.gguf import GGUFFile

#: pyggml, and what it is compared with.
Engines: TypeAlias = tuple[Program, Program]
Runs: TypeAlias = Sequence[Run]

# Numbers, as older llama-benches know no words.
_FLASH_ATTENTION: Mapping[str, tuple[str, ...]] = {"auto": (), "on": ("-fa", "1"), "off": ("-fa", "0")}


@dataclass(frozen=True)
class Plan:
    """What to measure of each file: prompts, one generation at each depth, `repeat` times with each number of threads.

    `flash_attn` on or off is for llama.cpp, auto leaves it to its default; pyggml has one kind of attention.
    """

    n_prompt: tuple[int, ...] = (128, 512)
    n_gen: int = 32
    n_depth: tuple[int, ...] = (0, 4096)
    n_threads: tuple[int, ...] = (1, 2)
    repeat: int = 5
    flash_attn: str = "auto"

    def invocations(self) -> Iterator[list[str]]:
        """The options of llama-bench: all tests from an empty cache in one process, those of each depth in another."""
        n_gen = self.n_gen if 0 in self.n_depth else 0
        if n_gen or any(self.n_prompt):
            yield ["-p", ",".join(map(str, self.n_prompt)), "-n", str(n_gen), "-d", "0"]
        for n_depth in filter(None, self.n_depth):
            yield ["-p", "0", "-n", str(self.n_gen), "-d", str(n_depth)]


@dataclass(frozen=True)
class Figure:
    """One line of the table: medians of both engines, and all that they are medians of.

    `share` is which part of the measured read bandwidth generation needs for the weights alone.
    """

    model: str
    n_threads: int
    test: str
    unit: str
    pyggml: float
    llama_cpp: float | None
    share: tuple[float, float] | None = None
    samples: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    @property
    def ratio(self) -> float | None:
        """How many times pyggml's is llama.cpp's."""
        return None if self.llama_cpp is None else self.pyggml / self.llama_cpp


def weight_bytes(path: Path) -> int:
    """The bytes of weights that a token reads: all, but for the embeddings where they are not the output matrix too."""
    with GGUFFile.open(path) as file:
        total = sum(each.n_bytes or 0 for each in file.tensors.values())
        embedding = file.tensors.get("token_embd.weight")
        if embedding is None or "output.weight" not in file.tensors:
            return total
        return total - (embedding.n_bytes or 0)


def compare(path: Path, engines: Engines, plan: Plan, report: Callable[[str], None]) -> Iterator[Figure]:
    """Measure a file, with each number of threads. Raises BenchmarkError if an engine fails."""
    for n_threads in plan.n_threads:
        rounds, bandwidths = [], []
        for number in range(1, plan.repeat + 1):
            report(f"{path.name}, threads {n_threads}, round {number} of {plan.repeat}")
            bandwidths.append(read_bandwidth(n_threads))
            rounds.append(_round(path, engines, plan, n_threads))
        ours, theirs = zip(*rounds, strict=True)
        yield from _speed_figures(path, n_threads, ours, theirs, median(bandwidths))
        yield from _memory_figures(path, n_threads, ours, theirs)
        rates = tuple(each / 1e9 for each in bandwidths)
        yield Figure(path.stem, n_threads, "read bandwidth", "GB/s", median(rates), None, None, (rates, ()))


def _round(path: Path, engines: Engines, plan: Plan, n_threads: int) -> tuple[Runs, Runs]:
    """Each test once: one engine, then the other."""
    ours: list[Run] = []
    theirs: list[Run] = []
    for options in plan.invocations():
        arguments = ["-m", str(path), *options, "-t", str(n_threads), "-r", "1"]
        ours.append(run_engine(engines[0], arguments))
        theirs.append(run_engine(engines[1], [*arguments, *_FLASH_ATTENTION[plan.flash_attn]]))
    return ours, theirs


def _speed_figures(
    path: Path, n_threads: int, ours: Sequence[Runs], theirs: Sequence[Runs], bandwidth: float
) -> Iterator[Figure]:
    n_bytes, their_speeds = weight_bytes(path), _speeds(theirs)
    for test, speeds in _speeds(ours).items():
        others = their_speeds[test]
        medians = median(speeds), median(others)
        share = (medians[0] * n_bytes / bandwidth, medians[1] * n_bytes / bandwidth)
        # Further along the cache is read too.
        is_weights_alone = not test.n_prompt and not test.n_depth
        samples = (tuple(speeds), tuple(others))
        yield Figure(path.stem, n_threads, test.name, "t/s", *medians, share if is_weights_alone else None, samples)


def _memory_figures(path: Path, n_threads: int, ours: Sequence[Runs], theirs: Sequence[Runs]) -> Iterator[Figure]:
    """Nothing where the system does not tell."""
    peaks = (_peaks(ours), _peaks(theirs))
    if all(peaks):
        yield Figure(path.stem, n_threads, "peak memory", "MiB", median(peaks[0]), median(peaks[1]), None, peaks)


def _speeds(rounds: Iterable[Runs]) -> dict[Task, list[float]]:
    found = defaultdict(list)
    for runs in rounds:
        for run in runs:
            for test, speed in run.speeds:
                found[test].append(speed)
    return found


def _peaks(rounds: Iterable[Runs]) -> tuple[float, ...]:
    """The most that any process of a round took, in MiB."""
    peaks = [[run.peak_bytes for run in runs if run.peak_bytes is not None] for runs in rounds]
    return tuple(max(each) / 2**20 for each in peaks if each)
