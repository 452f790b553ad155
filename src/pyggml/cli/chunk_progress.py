"""The progress of a measurement: chunks that are done, and how long the others will take."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pyggml.cli.console import Console
from pyggml.cli.model_options import LoadOptions

Result = TypeVar("Result")


def n_together(load: LoadOptions, n_ctx: int) -> int:
    """Chunks that a batch holds, one at least."""
    return max(1, load.batch_size // n_ctx)


def with_progress(results: Iterable[Result], console: Console, n_chunks: int, n_batch: int) -> Iterator[Result]:
    """The results of chunks, `n_batch` of which are evaluated at a time, as they come.

    When the first is there the time for all is told; a terminal then shows a status line, unless the results
    themselves are one growing line.
    """
    start = time.perf_counter()
    console.show_status(f"chunk 0 of {n_chunks}")
    try:
        for n_shown, result in enumerate(results, 1):
            n_done = min(n_chunks, -(-n_shown // n_batch) * n_batch)
            seconds = (time.perf_counter() - start) / n_done
            if n_shown == 1:
                console.remark(f"{seconds:.2f} seconds a chunk, {seconds * n_chunks / 60:.2f} minutes for all of them")
            yield result
            console.show_status(f"chunk {n_done} of {n_chunks}, {seconds * (n_chunks - n_done) / 60:.1f} minutes to go")
    finally:
        console.clear_status()
