"""A program at a pseudo-terminal: what it shows can be waited for, and keys pressed."""

import os
import re
import select
import signal
import sys
import time
from types import TracebackType

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TIMEOUT_SECONDS = 60.0

CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """Runs `pyggml` with these arguments; a context manager that leaves no process behind."""

    def __init__(self, *arguments: str, stdin: str | None = None, **environment: str) -> None:
        """`stdin` names a file to be read instead of the terminal."""
        self._arguments = arguments
        self._stdin = stdin
        self._environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1"} | environment
        self._raw = b""
        self._read_from = 0

    def __enter__(self) -> "Terminal":
        """Start the program."""
        import pty  # Windows has none, but collects this file

        self._process, self._terminal = pty.fork()
        if self._process == 0:
            if self._stdin is not None:
                os.dup2(os.open(self._stdin, os.O_RDONLY), 0)
            program = [sys.executable, "-c", "from pyggml.cli.main import main; main(prog_name='pyggml')"]
            os.execve(sys.executable, [*program, *self._arguments], self._environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, if it still runs."""
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._terminal)

    @property
    def screen(self) -> str:
        """All that was shown, without colours, line breaks as `\\n`."""
        return _ANSI.sub("", self.colored_screen)

    @property
    def colored_screen(self) -> str:
        """All that was shown."""
        return self._raw.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_for(self, text: str) -> str:
        """Wait until the text is shown; give what came since the last wait, the text included."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (index := self.screen.find(text, self._read_from)) < 0:
            assert time.monotonic() < deadline, f"{text!r} is not on the screen: {self.screen!r}"
            assert self._read(), f"the program ended without {text!r}: {self.screen!r}"
        start, self._read_from = self._read_from, index + len(text)
        return self.screen[start : self._read_from]

    def interrupt_prompt(self) -> None:
        """Press Ctrl-C where the program waits for a line.

        Python looks for signals when waiting begins, and before; one that comes just between waits for the next key,
        which a person's fingers cannot manage but a test does.
        """
        time.sleep(0.3)
        self.press(CTRL_C)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._terminal, keys.encode())

    def wait_for_end(self) -> int:
        """Wait until the program ends; give its status."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"the program does not end: {self.screen!r}"
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        """Take in what is shown, for a moment; tell whether the program may show more."""
        if select.select([self._terminal], [], [], 0.1)[0]:
            try:
                more = os.read(self._terminal, 65536)
            except OSError:  # Linux says so when the other side is closed
                return False
            self._raw += more
            return bool(more)
        return True
