"""The reader on thousands of broken files: nothing but GGUFError, in bounded time and memory."""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pyggml.errors import GGUFError
from pyggml.gguf import GGUFFile
from pyggml.gguf.values import as_list
from tests.unit.gguf_mutations import MAX_BYTES, MIN_BYTES, mutant, seeds, write_siblings

MAX_SECONDS = 1.0
MAX_ALLOCATED = 64 * 2**20


@dataclass
class Report:
    """The worst over all files; of the accepted, those whose every tensor could be read are `n_accepted`."""

    n_files: int = 0
    n_accepted: int = 0
    seconds: float = 0.0
    allocated: int = 0
    resident: int = 0


def touch_everything(path: Path) -> bool:
    """Open the file and use all of it; whether it was accepted."""
    try:
        file = GGUFFile.open(path)
    except GGUFError:
        return False
    with file:
        for key, value in file.metadata.items():
            assert str(file.metadata_types[key])
            if isinstance(value, (list, np.ndarray)):
                assert len(as_list(value)) == len(value)
        for name, info in file.tensors.items():
            assert info.n_elements >= 0
            try:
                data = file.tensor_bytes(name)
            except GGUFError:
                continue
            assert data.nbytes == info.n_bytes
            assert data.sum() >= 0
    return True


def peak_resident_bytes() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10


def fuzz(folder: Path, n_files: int) -> Report:
    write_siblings(folder)
    sources = seeds()
    report = Report(n_files)
    resident = peak_resident_bytes()
    # What other tests left is not looked through for garbage meanwhile: that alone can take a second.
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    try:
        for index in range(n_files):
            made = mutant(index, sources)
            assert MIN_BYTES <= len(made.content) <= MAX_BYTES
            path = folder / made.name
            path.write_bytes(made.content)
            tracemalloc.reset_peak()
            # Time of this thread alone, so that a busy machine does not count.
            before, start = tracemalloc.get_traced_memory()[0], time.thread_time()
            report.n_accepted += touch_everything(path)
            seconds = time.thread_time() - start
            allocated = tracemalloc.get_traced_memory()[1] - before
            assert seconds < MAX_SECONDS, f"mutant {index}"
            assert allocated < MAX_ALLOCATED + len(made.content), f"mutant {index}"
            report.seconds, report.allocated = max(report.seconds, seconds), max(report.allocated, allocated)
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    report.resident = peak_resident_bytes() - resident
    return report


def check(report: Report) -> None:
    assert report.resident < MAX_ALLOCATED
    # Were all refused at the first byte, or hardly any, the mutations would test nothing.
    assert 0.05 * report.n_files < report.n_accepted < 0.95 * report.n_files


def test_seeds_are_sound(tmp_path: Path) -> None:
    write_siblings(tmp_path)
    for seed in seeds():
        assert MIN_BYTES <= len(seed.content) <= MAX_BYTES
        (tmp_path / seed.name).write_bytes(seed.content)
        with GGUFFile.open(tmp_path / seed.name) as file:
            assert file.path.name == seed.name


def test_broken_files(tmp_path: Path) -> None:
    check(fuzz(tmp_path, 3_000))


@pytest.mark.slow
def test_100_000_broken_files(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    report = fuzz(tmp_path, 100_000)
    record_property("report", str(report))
    check(report)
