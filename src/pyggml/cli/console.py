"""Text on stdout, remarks on stderr."""

import os
import sys
from typing import TextIO

import click

CLEAR_LINE = "\r\x1b[K"


class Console:
    """Writes to the two streams: the text that was asked for on one, whatever is said about it on the other.

    `interactive` tells whether a person sits at a terminal for both input and output; `colored`, whether stdout takes
    colours. A status line is shown on a terminal alone, and gone when anything else is written.
    """

    def __init__(self, color: str = "auto") -> None:
        """Take `--color`: "on", "off" or "auto", which colours terminals unless NO_COLOR is set."""
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            _tolerate(stream)
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.colored = _takes_color(sys.stdout, color)
        self._dimmed = _takes_color(sys.stderr, color)
        self._at_line_start = True
        self._has_status = False
        self._has_open_remark = False

    def write(self, text: str, color: str | None = None, bold: bool = False) -> None:
        """Write to stdout as it is; in a color that `click.style` knows, and bold, if colours are on."""
        if not text:
            return
        self._settle()
        styled = click.style(text, fg=color, bold=bold or None) if self.colored and (color or bold) else text
        click.echo(styled, nl=False, color=True)
        self._at_line_start = text.endswith("\n")

    def end_line(self) -> None:
        """Begin a new line on stdout unless one has begun."""
        if not self._at_line_start:
            self.write("\n")

    def note_new_line(self) -> None:
        """Note that the user's Enter has begun a new line."""
        self._at_line_start = True

    def note_prompt(self) -> None:
        """Note that a line was begun for the user to type in."""
        self._settle()
        self._at_line_start = False

    def remark(self, text: str) -> None:
        """Write a dim line to stderr."""
        self._begin_remark()
        self._write_remark(text + "\n")

    def warn(self, text: str) -> None:
        """Write a warning to stderr."""
        self._begin_remark()
        click.echo(f"pyggml: warning: {text}", err=True)

    def add_to_list(self, heading: str, item: str) -> None:
        """Write an item of a list to stderr, as a dim line that the next item extends and anything else ends."""
        if not self._has_open_remark:
            self._begin_remark()
        self._write_remark(f", {item}" if self._has_open_remark else f"{heading}: {item}")
        self._has_open_remark = True

    def show_status(self, text: str) -> None:
        """Show, in place of the last one, what is being done; not behind text that a terminal would lose with it."""
        if sys.stderr.isatty() and (self._at_line_start or not sys.stdout.isatty()):
            self._settle()
            click.echo(text, err=True, nl=False)
            self._has_status = True

    def clear_status(self) -> None:
        """Take the status line away."""
        if self._has_status:
            click.echo(CLEAR_LINE, err=True, nl=False, color=True)
            self._has_status = False

    def _begin_remark(self) -> None:
        """Keep remarks off the line of the text where both go to one terminal; a pipe gets the bare text."""
        self._settle()
        if sys.stdout.isatty():
            self.end_line()

    def _write_remark(self, text: str) -> None:
        click.echo(click.style(text, dim=True) if self._dimmed else text, err=True, nl=False, color=True)

    def _settle(self) -> None:
        """Leave nothing unfinished on stderr."""
        self.clear_status()
        if self._has_open_remark:
            self._has_open_remark = False
            self._write_remark("\n")


def _takes_color(stream: TextIO, color: str) -> bool:
    if color == "auto":
        return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return color == "on"


def _tolerate(stream: TextIO) -> None:
    """Replace what the stream's encoding does not have, instead of failing at it."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="replace")
