"""Loads the llama.cpp inside the `xllamacpp` wheel: one shared object with the C API of ggml and llama.

The Python module of the wheel is not imported; only its shared object is opened, with its log silenced.
"""

import ctypes
import os
from collections import deque
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from pyggml_reference.prototypes import ALL
from pyggml_reference.structures import ABORT_CALLBACK, LOG_CALLBACK

PACKAGE = "xllamacpp"
VERSION = "2026.10.11549"
N_LOG_LINES = 8
_WARNING, _ERROR, _CONTINUATION = 3, 4, 5


class OracleError(RuntimeError):
    """The oracle is missing, of another version, was asked for what it cannot do, or reported a failure."""


class Log:
    """The last warnings and errors of llama.cpp, in place of its output on stderr."""

    def __init__(self) -> None:
        """Start empty; the callbacks must live as long as the library."""
        self._lines: deque[str] = deque(maxlen=N_LOG_LINES)
        self._keeps_continuation = False
        self.callback = LOG_CALLBACK(self._receive)
        self.abort_callback = ABORT_CALLBACK(self._abort)

    def _receive(self, level: int, text: bytes, _user_data: int) -> None:
        if level != _CONTINUATION:
            self._keeps_continuation = level in (_WARNING, _ERROR)
        if self._keeps_continuation:
            line = text.decode(errors="replace").strip()
            if line:
                self._lines.append(line)

    def _abort(self, text: bytes) -> None:
        # ggml ends the process when this returns; without a callback it would first run gdb on it.
        os.write(2, b"ggml aborts: " + text + b"\n")

    def clear(self) -> None:
        """Forget all lines, before a call whose failure is to be explained."""
        self._lines.clear()

    def text(self) -> str:
        """Give the kept lines, oldest first, on one line."""
        return "; ".join(self._lines) or "llama.cpp logged no reason"


@cache
def log() -> Log:
    """Give the process-wide log; llama.cpp has only one."""
    return Log()


def listen() -> None:
    """Empty the log before a call whose failure is to be explained, and take it back from whoever may have it.

    A llama-server of the same library, in this process, keeps it for itself.
    """
    library().llama_log_set(log().callback, None)
    log().clear()


@cache
def library() -> ctypes.CDLL:
    """Open the shared object once, with prototypes set, the log silenced and the CPU tables initialized.

    Raises OracleError if the wheel is not installed, is of another version than VERSION (structure layouts differ
    between versions), or holds no shared object.
    """
    try:
        wheel = distribution(PACKAGE)
    except PackageNotFoundError:
        raise OracleError(f"the oracle is not installed: pip install {PACKAGE}=={VERSION}") from None
    if wheel.version != VERSION:
        raise OracleError(
            f"the oracle needs {PACKAGE} {VERSION}, found {wheel.version}: pip install {PACKAGE}=={VERSION}"
        )
    loaded = ctypes.CDLL(str(_shared_object(wheel)))
    for name, (result, arguments) in ALL.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    loaded.llama_log_set(log().callback, None)
    loaded.mtmd_helper_log_set(log().callback, None)
    loaded.ggml_set_abort_callback(log().abort_callback)
    loaded.ggml_cpu_init()
    loaded.llama_backend_init()
    return loaded


def _shared_object(wheel: Distribution) -> Path:
    for file in wheel.files or ():
        if file.parts[0] == PACKAGE and file.suffix in (".so", ".pyd", ".dylib"):
            return Path(str(wheel.locate_file(file)))
    raise OracleError(f"{PACKAGE} {wheel.version} holds no shared object: install its wheel, not a stub")
