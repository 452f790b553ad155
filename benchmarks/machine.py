"""The machine during a measurement: how fast its memory is read, and a process that takes one of its cores."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter

import numpy as np

#: Far more than any cache holds.
_BYTES = 1 << 30
_PASSES = 5


def read_bandwidth(n_threads: int, n_bytes: int = _BYTES) -> float:
    """Bytes a second that threads read together, each its own part of memory, in order: the best of a few passes."""
    memory = np.ones(n_bytes // 8, np.uint64)
    parts = np.array_split(memory, n_threads)
    best = float("inf")
    with ThreadPoolExecutor(n_threads) as threads:
        for _ in range(_PASSES):
            start = perf_counter()
            list(threads.map(np.bitwise_or.reduce, parts))
            best = min(best, perf_counter() - start)
    return memory.nbytes / best


@contextmanager
def busy_core(is_busy: bool) -> Iterator[None]:
    """While the context is open, if so wished, another process computes all the time."""
    if not is_busy:
        yield
        return
    # In a session of its own, as a service's or another terminal's programs are: Linux shares a core among sessions
    # first, and among their threads then.
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()
