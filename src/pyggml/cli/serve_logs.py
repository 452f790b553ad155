"""The server's log: one line for each request, and what else there is to tell."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from pyggml.errors import UsageError


class TextFormatter(logging.Formatter):
    """The time, and the message; the level unless it is an ordinary one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or more for a traceback."""
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        line = f"{_time_of(record)} {level}{record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """An object with time, level and message, and the fields of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        fields = {"time": _time_of(record), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**fields, **getattr(record, "fields", {})}, ensure_ascii=False)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


@contextmanager
def server_log(log_format: str, file: Path | None) -> Iterator[None]:
    """Log to stderr or to the end of a file. Raises UsageError for a file that cannot be written."""
    logger = logging.getLogger("pyggml")
    try:
        stream = sys.stderr if file is None else file.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--log-file {file}: {error.strerror}; name a file that can be written") from error
    handler, level = logging.StreamHandler(stream), logger.level
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        if file is not None:
            stream.close()
