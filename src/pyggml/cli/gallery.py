"""The pictures of a conversation, and the marks by which its messages name them."""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter

from pyggml.cli.console import Console
from pyggml.cli.timings import Totals
from pyggml.engine import PICTURE_MARKER, Picture, PlacedPictures, picture_prompt
from pyggml.tokenizer import Tokenizer


class Gallery:
    """Keeps what a tower made of each picture; a mark is a text that nobody types."""

    def __init__(self, look: Callable[[Iterable[Path]], list[Picture]], console: Console, totals: Totals) -> None:
        """Take `Model.look`; `console` shows that it is at work, `totals` are told how long that was."""
        self._look = look
        self._console = console
        self._totals = totals
        self._pictures: list[Picture] = []
        self._name = secrets.token_hex(8)

    def add(self, path: Path) -> str:
        """The mark of a picture. Raises UsageError, ImageError."""
        start = perf_counter()
        self._console.show_status(f"Looking at {path}")
        try:
            self._pictures += self._look([path])
        finally:
            self._console.clear_status()
        self._totals.add_picture(perf_counter() - start)
        return f"<__{self._name}_{len(self._pictures) - 1}__>"

    def first_message(self, text: str, paths: Sequence[Path]) -> str:
        """A message with pictures in the places that it has for them, or else at its beginning. Raises as `add`."""
        marks = [self.add(path) for path in paths]
        if text.count(PICTURE_MARKER) != len(marks):
            return "".join(marks) + text
        pieces = text.split(PICTURE_MARKER)
        return "".join(piece + mark for piece, mark in zip(pieces, [*marks, ""], strict=True))

    def prompt(self, tokenizer: Tokenizer, text: str, *, add_special: bool) -> tuple[list[int], PlacedPictures]:
        """The tokens of a text with marks, and where its pictures lie."""
        pattern = re.compile(rf"<__{self._name}_(\d+)__>")
        shown = [self._pictures[int(number)] for number in pattern.findall(text)]
        marker = f"<__{self._name}__>"
        return picture_prompt(tokenizer, pattern.sub(marker, text), shown, marker=marker, add_special=add_special)
