"""A grammar that follows an answer, token by token."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from pyggml.errors import GrammarError


class GrammarConstraint:
    """Tells which tokens may come next; the engine's `Constraint`. The answer may end where the grammar may.

    Any token that ends generation is the end of the answer, and no part of the grammar.
    """

    def __init__(self, matcher: LLMatcher, end_of_generation: Sequence[int]) -> None:
        self._matcher = matcher
        self._ends = list(end_of_generation)

    def copy(self) -> "GrammarConstraint":
        """Another one, as it is now."""
        return GrammarConstraint(self._matcher.deep_copy(), self._ends)

    def allows(self, token: int) -> bool:
        """Whether the token may come next."""
        if token in self._ends:
            return bool(self._matcher.is_accepting())
        return bool(self._matcher.validate_tokens([token]) == 1)

    def mask(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A copy of the logits (n_vocab,), minus infinity for all that may not come next.

        Raises GrammarError if nothing may.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        allowed = np.zeros(len(logits), np.bool_)
        known = np.unpackbits(bits, bitorder="little")[: len(logits)]
        allowed[: len(known)] = known
        allowed[self._ends] = self._matcher.is_accepting()
        if not allowed.any():
            raise GrammarError("the grammar leaves no way to go on: no token of the vocabulary is allowed")
        return np.where(allowed, logits, np.float32(-np.inf))

    def accept(self, token: int) -> None:
        """The token came next. Raises GrammarError if it may not."""
        if token in self._ends:
            if not self._matcher.is_accepting():
                raise GrammarError(f"token {token} ends the answer where the grammar goes on")
        elif not self._matcher.consume_token(token):
            self._check()

    def reset(self) -> None:
        """Begin a new answer."""
        self._matcher.reset()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(f"the grammar cannot be followed: {first_line(self._matcher.get_error())}")


def first_line(text: str) -> str:
    """What an error says before it goes into details."""
    return text.strip().split("\n", 1)[0]
