"""What goes into a step."""

from collections.abc import Sequence
from typing import Protocol


class Pending(Protocol):
    """What sharing a step needs to know of a request."""

    @property
    def n_pending(self) -> int:
        """Tokens to be evaluated."""

    @property
    def is_generating(self) -> bool:
        """Whether it waits for one token after the other."""


def share_step(runs: Sequence[Pending], n_batch: int) -> list[tuple[int, int]]:
    """The runs that take part, as indices, each with how many of its tokens: `n_batch` at most in all.

    One token for each that is generating, then the prompts, those that came first first: a long prompt takes more
    steps, and holds up nobody.
    """
    shares = [(index, 1) for index, run in enumerate(runs) if run.is_generating][:n_batch]
    n_left = n_batch - len(shares)
    for index, run in enumerate(runs):
        if not run.is_generating and n_left and run.n_pending:
            n = min(run.n_pending, n_left)
            shares.append((index, n))
            n_left -= n
    return shares
