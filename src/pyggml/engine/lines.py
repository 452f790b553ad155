"""Ends of an answer that its lines decide: time, and indentation. Editors ask for them to complete a block of code."""

from time import perf_counter


class LineLimits:
    """Follows the text of one answer line by line."""

    def __init__(self, max_seconds: float, indent: int) -> None:
        """Take the limits of `GenerationOptions`; 0 for none."""
        self.has_new_line = False
        self.is_over = False
        self._max_seconds = max_seconds
        self._indent = indent
        self._started = perf_counter()
        self._line: str | None = None  # the text since the last line break; none in the first line

    def push(self, text: str) -> str:
        """Take in text that is about to be shown; gives what of it is to be shown."""
        shown = self._within_block(text) if self._indent else text
        if "\n" in shown:
            self.has_new_line = True
            if self._max_seconds and perf_counter() - self._started > self._max_seconds:
                self.is_over = True
        return shown

    def _within_block(self, text: str) -> str:
        """The text up to where a line begins too far left; a line without text begins at its break."""
        for position, character in enumerate(text):
            if character not in " \t" and self._line is not None and self._is_short(self._line):
                self.is_over = True
                return text[:position]
            if character == "\n":
                self._line = ""
            elif self._line is not None:
                self._line += character
        return text

    def _is_short(self, line: str) -> bool:
        """Whether it is nothing but an indentation, and a smaller one than there has to be."""
        return len(line) < self._indent and not line.strip(" \t")
