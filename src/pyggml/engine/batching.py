"""What goes into a step."""

from collections.abc import Sequence
from typing import Protocol

#: How long those that are generating may wait for a step that also reads prompts; seconds.
_STEP_SECONDS = 0.1
#: Prompt tokens that are read beside them in any case: fewer are no faster, for the weights are read all the same.
_LEAST_SHARE = 32


class Pending(Protocol):
    """What sharing a step needs to know of a request."""

    @property
    def n_pending(self) -> int:
        """Tokens to be evaluated."""

    @property
    def is_generating(self) -> bool:
        """Whether it waits for one token after the other."""


class Pace:
    """Learns how many prompt tokens a step can take without keeping those that are generating waiting."""

    def __init__(self, n_batch: int) -> None:
        self._n_batch = n_batch
        self._seconds_per_token = 0.0

    @property
    def n_prompt(self) -> int:
        """Prompt tokens in a step beside requests that are generating, a multiple of 32: so there are few shapes."""
        if not self._seconds_per_token:
            return min(_LEAST_SHARE, self._n_batch)
        n_steps = int(_STEP_SECONDS / self._seconds_per_token) // _LEAST_SHARE
        return min(max(n_steps, 1) * _LEAST_SHARE, self._n_batch)

    def note(self, n_tokens: int, seconds: float) -> None:
        """Take in how long a step took; small ones tell nothing of large ones. The last few steps count most."""
        if n_tokens >= min(_LEAST_SHARE, self._n_batch):
            latest = seconds / n_tokens
            self._seconds_per_token = (3 * self._seconds_per_token + latest) / 4 if self._seconds_per_token else latest


def share_step(runs: Sequence[Pending], n_batch: int, n_prompt: int) -> list[tuple[int, int]]:
    """The runs that take part, as indices, each with how many of its tokens: `n_batch` at most in all.

    One token for each that is generating, then prompts: `n_prompt` tokens at most if there is anyone to wait for them.
    Half of these are for the prompt that came first, the others for the shortest: so a long prompt holds up nobody,
    and is not held up for ever.
    """
    shares = dict.fromkeys([index for index, run in enumerate(runs) if run.is_generating][:n_batch], 1)
    n_left = min(n_batch - len(shares), n_prompt) if shares else n_batch
    prompts = [index for index, run in enumerate(runs) if not run.is_generating and run.n_pending]
    by_length = sorted(prompts, key=lambda index: (runs[index].n_pending, index))
    offers = [(prompts[0], -(-n_left // 2))] if prompts else []
    for index, offer in [*offers, *((index, n_left) for index in by_length)]:
        n = min(runs[index].n_pending - shares.get(index, 0), offer, n_left)
        if n:
            shares[index] = shares.get(index, 0) + n
            n_left -= n
    return sorted(shares.items())
