"""The progress of a measurement: chunks that are done, and how long the others will take."""

import time
from types import TracebackType

from pyggml.cli.console import Console
from pyggml.cli.model_options import LoadOptions


def n_together(load: LoadOptions, n_ctx: int) -> int:
    """Chunks that a batch holds, one at least."""
    return max(1, load.batch_size // n_ctx)


class ChunkProgress:
    """A context manager with a status line, on a terminal only."""

    def __init__(self, console: Console, n_chunks: int) -> None:
        """Take the number of all chunks."""
        self._console = console
        self._n_chunks = n_chunks
        self._start = time.perf_counter()

    def __enter__(self) -> "ChunkProgress":
        """Begin to count the time."""
        self._console.show_status(f"chunk 0 of {self._n_chunks}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self._console.clear_status()

    def update(self, n_done: int) -> None:
        """Show that so many chunks are done."""
        seconds = (time.perf_counter() - self._start) / n_done * (self._n_chunks - n_done)
        self._console.show_status(f"  chunk {n_done} of {self._n_chunks}, {seconds / 60:.1f} minutes to go")
