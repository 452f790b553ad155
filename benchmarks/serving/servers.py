"""The two servers, each a process of its own with the same options."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.errors import BenchmarkError
from benchmarks.programs import Program, native_program

_START_SECONDS = 600
_POLL_SECONDS = 0.05
_SHOWN_BYTES = 1000


@dataclass(frozen=True)
class Settings:
    """What both servers are given: `n_slots` requests at a time, `n_ctx` tokens each."""

    model: Path
    n_threads: int
    n_slots: int
    n_ctx: int

    def arguments(self) -> tuple[str, ...]:
        """As options of llama-server."""
        total = self.n_slots * self.n_ctx
        return ("-m", str(self.model), "-t", str(self.n_threads), "-np", str(self.n_slots), "-c", str(total))


def pyggml_server() -> Program:
    """`pyggml serve` of this checkout."""
    return Program("pyggml", (sys.executable, "-m", "pyggml", "serve"))


def llama_server(path: Path) -> Program:
    """A llama-server. Raises BenchmarkError if there is none, or it does not run."""
    return native_program(path, "llama-server")


@contextmanager
def running(server: Program, settings: Settings) -> Iterator[int]:
    """The server's port on 127.0.0.1, once it has loaded the model; stopped at the end. Raises BenchmarkError."""
    port = _free_port()
    command = [*server.command, *settings.arguments(), "--host", "127.0.0.1", "--port", str(port)]
    # Modules of this checkout are found from any folder.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            _wait(process, port, server, log)
            yield port
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int, server: Program, log: IO[bytes]) -> None:
    """Until GET /health answers 200."""
    end = time.monotonic() + _START_SECONDS
    while not _is_healthy(port):
        status = process.poll()
        if status is not None or time.monotonic() > end:
            ended = "did not start in time" if status is None else f"ended with status {status}"
            raise BenchmarkError(f"{server.name}: the server {ended}: {_last(log)}")
        time.sleep(_POLL_SECONDS)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last(log: IO[bytes]) -> str:
    """The end of what the server said."""
    log.seek(0)
    return log.read()[-_SHOWN_BYTES:].decode("utf-8", "replace").strip() or "it said nothing"
