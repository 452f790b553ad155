"""The progress of downloads, on stderr."""

from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars


class DownloadProgress:
    """A context manager that is called as `pyggml.hub.Progress`.

    On a terminal every file has a bar; elsewhere one line says that it starts and one that it is there.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Write to stderr, or to another console."""
        self._console = console or Console(stderr=True)
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: str | None = None

    def __enter__(self) -> "DownloadProgress":
        """Show nothing yet: what is in the cache needs no bar."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are; say that the last file is there if nothing went wrong."""
        if self._bars is not None:
            self._bars.stop()
        if error is None:
            self._end_line()

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show that `done` bytes of a file are here."""
        if self._console.is_terminal:
            self._show_bar(name, done, total)
        elif name != self._started:
            self._end_line()
            self._started = name
            size = "" if total is None else f", {decimal(total)}"
            rest = "" if done == 0 else f", going on from {decimal(done)}"
            self._line(f"downloading {name}{size}{rest}")

    def _show_bar(self, name: str, done: int, total: int | None) -> None:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bars.start()
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, completed=done, total=total)
        self._bars.update(self._tasks[name], completed=done, total=total)

    def _end_line(self) -> None:
        if self._started is not None:
            self._line(f"downloaded {self._started}")
            self._started = None

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
