"""Answers that have to obey something, such as a grammar or a JSON schema."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyggml.engine.answer import TokenSampler
from pyggml.sampling import Logits


class Constraint(Protocol):
    """What the tokens of one answer have to obey; it follows the answer token by token."""

    def allows(self, token: int) -> bool:
        """Whether the token may come next."""

    def mask(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A copy of the logits (n_vocab,), minus infinity for all that may not come next."""

    def accept(self, token: int) -> None:
        """The token came next. PyggmlError if it may not."""

    def reset(self) -> None:
        """Begin a new answer."""


class ConstrainedSampler:
    """A constrained sampler as llama.cpp has it: a token that is not allowed is drawn again among those that are.

    So random numbers are spent as llama.cpp spends them, and most tokens need no mask.
    """

    def __init__(self, sampler: TokenSampler, constraint: Constraint) -> None:
        self._sampler = sampler
        self._constraint = constraint

    @property
    def begins_with_the_largest(self) -> bool:
        """Whether the largest logits are enough for most tokens."""
        return self._sampler.begins_with_the_largest

    def choose(self, logits: Logits) -> int:
        """The next token, an allowed one."""
        token = self._sampler.choose(logits)
        if self._constraint.allows(token):
            return token
        return self._sampler.choose(Logits.of(self._constraint.mask(logits.fetch())))

    def accept(self, token: int) -> None:
        """Take a token of the answer into the history."""
        self._sampler.accept(token)
        self._constraint.accept(token)

    def reset(self) -> None:
        """Forget the history."""
        self._sampler.reset()
        self._constraint.reset()
