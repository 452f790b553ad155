"""What the layers below report, in the words of the command line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pyggml.cli.console import Console


class ConsoleHandler(logging.Handler):
    """Shows warnings as such, and what is less as remarks."""

    def __init__(self, console: Console, level: int) -> None:
        """Take the console, and the least level that is shown."""
        super().__init__(level)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Show a report."""
        show = self._console.warn if record.levelno >= logging.WARNING else self._console.remark
        show(record.getMessage())


@contextmanager
def shown_logs(console: Console, verbose: bool) -> Iterator[None]:
    """Show the reports of pyggml on the console; all of them if verbose, else warnings."""
    logger, level = logging.getLogger("pyggml"), logging.INFO if verbose else logging.WARNING
    handler, previous_level = ConsoleHandler(console, level), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(previous_level)
