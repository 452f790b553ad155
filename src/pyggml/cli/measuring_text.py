"""The text that a model is measured on: the options, and reading it."""

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.parameter_types import TEXT
from pyggml.cli.sections import Decorated, section
from pyggml.errors import UsageError

_text = section("Text")


@dataclass(frozen=True)
class TextOptions:
    """Where the text comes from, and how much of it is used."""

    file: Path | None
    prompt: str | None
    chunks: int


_OPTIONS = (
    _text(
        "file",
        "-f",
        "--file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The text, as it is; - for standard input.",
    ),
    _text("prompt", "-p", "--prompt", type=TEXT, help="The text itself."),
    _text(
        "chunks",
        "--chunks",
        type=click.IntRange(-1),
        default=-1,
        metavar="N",
        default_text="-1, all",
        help="Chunks to be evaluated at most.",
    ),
)


def text_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_text(options: TextOptions) -> bytes | None:
    """The text, less the line break at the end of a file, as in llama.cpp; None if none is given. Raises UsageError."""
    if options.file is None:
        return None if options.prompt is None else options.prompt.encode()
    if options.prompt is not None:
        raise UsageError("-p and -f both give the text: give one of them")
    try:
        data = sys.stdin.buffer.read() if str(options.file) == "-" else options.file.read_bytes()
    except OSError as error:
        raise UsageError(f"-f {options.file}: the file cannot be read: {error.strerror}") from error
    return data.removesuffix(b"\n")
