"""What a chain is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pyggml.sampling.candidates import Candidates


class Stage(Protocol):
    """One sampler of a chain, with what it remembers of the text and of its random numbers."""

    @property
    def description(self) -> str:
        """Name and settings, for people."""

    def apply(self, candidates: Candidates) -> Candidates:
        """Change, drop or choose candidates."""

    def accept(self, token: int) -> None:
        """Learn that this token comes next in the text."""

    def reset(self, seed: int) -> None:
        """Forget the text, and start random numbers over from this seed."""


@dataclass(frozen=True)
class Filter:
    """A stage that remembers nothing: a function of the candidates."""

    description: str
    apply: Callable[[Candidates], Candidates]
    n_lowered: int | None = None
    """How many logits it lowers, if that is all that it does."""
    n_kept: int = 0
    """For top-k, how many it keeps; 0 for all others."""

    def accept(self, token: int) -> None:
        """Do nothing."""

    def reset(self, seed: int) -> None:
        """Do nothing."""
