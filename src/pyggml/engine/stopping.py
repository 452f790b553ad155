"""Stop strings in a stream of text."""

from collections.abc import Sequence


class StopStrings:
    """Finds the first stop string, holding back text that may be the beginning of one."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(string for string in strings if string)
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """The text that is safe to show; once a stop string is `found`, the text before it."""
        if not self._strings:
            return text
        self._held += text
        places = [(self._held.find(string), string) for string in self._strings]
        if found := min(((place, string) for place, string in places if place >= 0), default=None):
            place, self.found = found
            shown, self._held = self._held[:place], ""
            return shown
        n_held = max((self._overlap(string) for string in self._strings), default=0)
        shown, self._held = self._held[: len(self._held) - n_held], self._held[len(self._held) - n_held :]
        return shown

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held

    def _overlap(self, string: str) -> int:
        """The length of the longest end of the text that begins the string."""
        longest = min(len(self._held), len(string) - 1)
        return next((n for n in range(longest, 0, -1) if self._held.endswith(string[:n])), 0)
