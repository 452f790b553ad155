"""The progress of writing a GGUF file, on stderr."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class WriteProgress:
    """A context manager that is called as `pyggml.gguf.writer.Progress`: one bar a file, on a terminal only."""

    def __init__(self, console: Console | None = None) -> None:
        """Write to stderr, or to another console."""
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._is_told = False

    def __enter__(self) -> "WriteProgress":
        """Show the bar; until the first piece is written, kernels may have to be compiled."""
        self._bars.start()
        self._task = self._bars.add_task("preparing", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bars.stop()

    def compiling(self, kernel: str) -> None:
        """Say that kernels are being compiled; without a terminal once."""
        if self._task is not None and self._console.is_terminal:
            self._bars.update(self._task, description=f"compiling {kernel} (once)")
        elif not self._is_told:
            self._is_told = True
            self._console.print("compiling kernels for this machine (once)", highlight=False)

    def __call__(self, name: str, n_done: int, n_total: int) -> None:
        """Show which tensor is being written, and how much is."""
        if self._task is not None:
            self._bars.update(self._task, description=name, completed=n_done, total=n_total)
