"""Ctrl-C while a model is at work."""

import signal
from types import FrameType, TracebackType


class Interruption:
    """A context in which Ctrl-C first sets `requested`, so that work ends between two tokens, then interrupts.

    Where Ctrl-C is ignored or handled by others, it stays so.
    """

    def __init__(self) -> None:
        """Begin without a request."""
        self.requested = False
        self._installed = False

    def __enter__(self) -> "Interruption":
        """Take over Ctrl-C."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
