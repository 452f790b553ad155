"""`pyggml serve` as a process of its own."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread, Timer

import httpx

#: No test needs a server for longer: one that hangs is killed.
_SECONDS = 60


@dataclass
class ServerProcess:
    """A running program; `log` has the lines on its stderr so far, `place` is the last address it named."""

    process: "subprocess.Popen[str]"
    log: list[str]
    place: str

    def client(self, **options: object) -> httpx.Client:
        """A client of the place that the program named."""
        if self.place.endswith(".sock"):
            transport = httpx.HTTPTransport(uds=self.place)
            return httpx.Client(base_url="http://server", transport=transport, timeout=60, trust_env=False)
        return httpx.Client(base_url=self.place, timeout=60, trust_env=False, **options)  # type: ignore[arg-type]

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status."""
        return self.process.wait(60)


@contextmanager
def running_server(*arguments: str) -> Iterator[ServerProcess]:
    """Start it with the model inside the package; killed if it still runs at the end."""
    command = [sys.executable, "-m", "pyggml", "serve", "--port", "0", "-c", "512", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    log: list[str] = []
    watchdog = Timer(_SECONDS, process.kill)
    watchdog.start()
    reader = Thread(target=lambda: log.extend(process.stderr or ()))
    try:
        server = ServerProcess(process, log, _place(process, log))
        reader.start()
        yield server
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        if process.stderr:
            process.stderr.close()


def _place(process: "subprocess.Popen[str]", log: list[str]) -> str:
    for line in process.stderr or ():
        log.append(line)
        if found := re.search(r"listening at .*?(\S+)$", line.strip()):
            return found[1]
    raise AssertionError("".join(log))
