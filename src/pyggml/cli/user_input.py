"""The user's turns, read from a terminal or from whatever stdin is."""

import sys
from importlib import import_module

import click

from pyggml.cli.console import Console

_PROMPT_STYLE = "\x1b[1;32m"
_RESET = "\x1b[0m"


class UserInput:
    r"""Reads turns of one line, or of several.

    A line that ends with a backslash goes on in the next one. With `multiline` every line goes on, until one that ends
    with a backslash or a slash, or a first one that is a command.
    """

    def __init__(self, console: Console, multiline: bool = False) -> None:
        """Switch on line editing and a history of the session where Python has them."""
        self._console = console
        self._multiline = multiline
        self._edits = console.interactive and _has_line_editing()

    def read(self, prompt: str = "", commands: bool = False) -> str | None:
        """Read a turn; None at the end of the input. With `commands`, a first line with a slash before is whole."""
        lines: list[str] = []
        while (line := self._line("" if lines else prompt)) is not None:
            is_command = commands and not lines and line.startswith("/")
            ends = ("\\", "/") if self._multiline and not is_command else ("\\",)
            is_marked = line.endswith(ends)
            lines.append(line[:-1] if is_marked else line)
            if is_command or is_marked == self._multiline:
                break
        return "\n".join(lines) if lines else None

    def _line(self, prompt: str) -> str | None:
        if sys.stdin.isatty():
            self._console.note_prompt()
        try:
            line = input(self._styled(prompt)) if self._console.interactive else self._plain_line(prompt)
        except EOFError:
            return None
        finally:
            if self._edits and self._console.colored:
                self._console.write(_RESET)
        self._console.note_new_line()
        return line

    def _styled(self, prompt: str) -> str:
        # \1 and \2 tell the line editor that what is between has no width.
        return f"{prompt}\1{_PROMPT_STYLE}\2" if self._edits and self._console.colored else prompt

    def _plain_line(self, prompt: str) -> str:
        if sys.stdin.isatty():
            click.echo(prompt, err=True, nl=False)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")


def _has_line_editing() -> bool:
    """Import what makes input() edit lines; Windows has none."""
    try:
        import_module("readline")
    except ImportError:
        return False
    return True
